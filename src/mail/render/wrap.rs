//! Plain text that looks good in a window of 80 columns.

/// Columns of a line of plain text. RFC 5322 recommends at most 78; with 75, quoted-printable
/// leaves the lines as they are, and the source of a mail can be read too.
pub(super) const COLUMNS: usize = 75;

/// Breaks `text` into lines of at most [`COLUMNS`] characters.
///
/// The first line begins with `label`, and all of them are indented to `indent` columns. A word
/// too long for a line is broken, unless it is an address of the web: a broken one leads nowhere.
/// No line ends at a no-break space; it is an ordinary one afterwards.
pub(super) fn wrap(text: &str, label: &str, indent: usize) -> String {
    let mut lines = Lines { done: Vec::new(), line: format!("{label:indent$}"), indent };
    // A label as long as the indent must not touch the text.
    if label.chars().count() >= indent && indent > 0 {
        lines.line.push(' ');
    }
    for word in text.split_ascii_whitespace() {
        lines.add(word);
    }
    lines.done.push(lines.line);
    lines.done.join("\n").replace('\u{a0}', " ")
}

/// Lines under construction.
struct Lines {
    done: Vec<String>,
    line: String,
    indent: usize,
}

impl Lines {
    fn add(&mut self, word: &str) {
        let is_at_start = self.line.is_empty() || self.line.ends_with(' ');
        let used = self.line.chars().count() + usize::from(!is_at_start);
        if used + word.chars().count() <= COLUMNS {
            if !is_at_start {
                self.line.push(' ');
            }
            self.line.push_str(word);
        } else if !self.line.trim().is_empty() && !is_at_start {
            self.end_line();
            self.add(word);
        } else if word.contains("://") {
            self.line.push_str(word);
        } else {
            let room = COLUMNS.saturating_sub(used).max(1);
            let end = word.char_indices().nth(room).map_or(word.len(), |(index, _)| index);
            self.line.push_str(&word[..end]);
            self.end_line();
            self.add(&word[end..]);
        }
    }

    fn end_line(&mut self) {
        let next = " ".repeat(self.indent);
        self.done.push(std::mem::replace(&mut self.line, next));
    }
}

/// A rendered text without blanks at the ends of lines and without runs of empty lines.
///
/// The blank of `-- `, which begins a signature, is kept: mail programs know it by that.
pub(super) fn tidy_text(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    let mut is_gap = false;
    for line in text.lines() {
        let line = if line == "-- " { line } else { line.trim_end() };
        if line.is_empty() {
            is_gap = !tidy.is_empty();
            continue;
        }
        if std::mem::take(&mut is_gap) {
            tidy.push('\n');
        }
        tidy.push_str(line);
        tidy.push('\n');
    }
    tidy
}

/// A rendered page without empty lines and indentation: templates are written for people, and a
/// mail has to be small.
pub(super) fn tidy_html(html: &str) -> String {
    let mut tidy = String::with_capacity(html.len());
    for line in html.lines().map(str::trim).filter(|line| !line.is_empty()) {
        tidy.push_str(line);
        tidy.push('\n');
    }
    tidy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_broken_between_words() {
        let text = "word ".repeat(40);
        let wrapped = wrap(&text, "", 0);
        assert!(
            wrapped.lines().all(|line| line.chars().count() <= COLUMNS && !line.ends_with(' '))
        );
        assert_eq!(wrapped.split_whitespace().count(), 40);
        assert_eq!(wrapped.lines().count(), 3);
    }

    #[test]
    fn a_time_and_its_zone_stay_together() {
        let text = format!("{} 10:00\u{a0}UTC", "x".repeat(COLUMNS - 6));
        assert!(wrap(&text, "", 0).ends_with("\n10:00 UTC"));
    }

    #[test]
    fn a_label_hangs_before_its_text() {
        let wrapped = wrap(&"word ".repeat(20), "  Label", 14);
        let lines: Vec<&str> = wrapped.lines().collect();
        assert!(lines[0].starts_with("  Label       word word"), "{wrapped}");
        assert!(lines[1].starts_with("              word"), "{wrapped}");
        assert_eq!(wrap("text", "100.", 4), "100. text");
    }

    #[test]
    fn a_long_word_is_broken_and_an_address_is_not() {
        let wrapped = wrap(&format!("a {} b", "ü".repeat(200)), "1.", 4);
        assert!(wrapped.lines().all(|line| line.chars().count() <= COLUMNS), "{wrapped}");
        assert_eq!(wrapped.matches('ü').count(), 200);

        let address = format!("https://example.org/{}", "x".repeat(100));
        assert_eq!(wrap(&format!("see {address} there"), "", 0), format!("see\n{address}\nthere"));
    }

    #[test]
    fn gaps_are_one_line_and_a_signature_is_kept() {
        assert_eq!(tidy_text("\n\na  \n\n\n\nb\n-- \nc\n\n"), "a\n\nb\n-- \nc\n");
        assert_eq!(tidy_html("\n  <p>\n\n  a  </p>\n"), "<p>\na  </p>\n");
    }
}
