//! A relay's reply, whoever read it: lettre, or we before lettre came in.

use lettre::transport::smtp::{Error, response::Response};

use crate::mail::outcome::{Class, Outcome, SmtpStage, classify};

/// Longest text kept of a reply, in characters. It ends up in the history of a mail.
const MAX_TEXT: usize = 500;

/// A well-formed reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// The lines without their codes, on one line.
    pub(super) text: String,
}

impl Reply {
    pub(super) fn new(code: u16, text: &str) -> Self {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        Self { code, text: text.trim().chars().map(plain).take(MAX_TEXT).collect() }
    }

    /// Sorts what lettre says. The error is a connection that is of no more use.
    pub(super) fn from_lettre(result: Result<Response, Error>) -> Result<Self, String> {
        let err = match result {
            Ok(response) => {
                let mut lines = response.message();
                let first = lines.next().unwrap_or_default();
                let text = lines.fold(first.to_owned(), |text, line| text + " " + line);
                return Ok(Self::new(response.code().into(), &text));
            }
            Err(err) => err,
        };
        match err.status() {
            Some(code) => {
                // For a negative reply the source is the reply's text.
                let text = std::error::Error::source(&err).map(ToString::to_string);
                Ok(Self::new(code.into(), &text.unwrap_or_default()))
            }
            // lettre's words for a connection that ends where a reply should be.
            None if err.to_string().ends_with("incomplete response") => {
                Err("the relay closed the connection".to_owned())
            }
            None => Err(err.to_string()),
        }
    }

    /// 2xx.
    pub(super) fn is_done(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// 4xx or 5xx.
    pub(super) fn is_negative(&self) -> bool {
        self.code >= 400
    }

    /// 421: whatever it was said to, the relay closes the connection now.
    pub(super) fn is_goodbye(&self) -> bool {
        self.code == 421
    }

    /// The code of RFC 3463 the text begins with, like `5.1.1`.
    pub(super) fn enhanced(&self) -> Option<(u8, u16, u16)> {
        let word = self.text.split_whitespace().next()?;
        let mut parts = word.splitn(3, '.');
        let mut next = || parts.next()?.parse::<u16>().ok();
        let (class, subject, detail) = (next()?, next()?, next()?);
        // RFC 2034: the classes agree, or it is just a word.
        (class == self.code / 100).then_some((u8::try_from(class).ok()?, subject, detail))
    }

    /// Whose fault this negative reply is.
    pub(super) fn class(&self, stage: SmtpStage) -> Class {
        classify(stage, self.code, self.enhanced())
    }

    /// The outcome of a mail that got this negative reply.
    pub(super) fn refusal(self, stage: SmtpStage) -> Outcome {
        let (class, enhanced) = (self.class(stage), self.enhanced());
        Outcome::Refused { stage, class, code: self.code, enhanced, reply: self.text }
    }

    /// The reply on one line, code first.
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.code, self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_enhanced_code_is_one_only_if_it_agrees_with_the_code() {
        let table = [
            (550, "5.1.1 no such user", Some((5, 1, 1))),
            (250, "2.0.0", Some((2, 0, 0))),
            (550, "4.1.1 mixed up", None),
            (550, "No such user", None),
            (550, "5.1 short", None),
            (550, "5.1.x", None),
            (550, "", None),
        ];
        for (code, text, expected) in table {
            assert_eq!(Reply::new(code, text).enhanced(), expected, "{code} {text}");
        }
    }

    #[test]
    fn the_text_of_a_reply_is_one_line_of_bounded_length() {
        let reply = Reply::new(550, &format!("a\nb\u{7f}\u{1b}[31m{}", "x".repeat(9999)));
        assert!(reply.text.starts_with("a b  [31mx"));
        assert_eq!(reply.text.len(), MAX_TEXT);
    }

    proptest! {
        /// Whatever the words are: somebody is to blame, it is told on one line, and an enhanced
        /// code never says less than the code itself.
        #[test]
        fn any_refusal_is_blamed_on_somebody(code in 400_u16..600, text in "\\PC*|[245]\\.[0-9.]{0,20}.*") {
            let reply = Reply::new(code, &text);
            prop_assert!(!reply.line().contains(char::is_control));
            if let Some((class, ..)) = reply.enhanced() {
                prop_assert_eq!(u16::from(class), code / 100);
            }
            for stage in [SmtpStage::Mail, SmtpStage::Rcpt, SmtpStage::Data, SmtpStage::Body] {
                let class = reply.class(stage);
                let is_passing = matches!(class, Class::Transient | Class::Channel);
                prop_assert!(code >= 500 || is_passing, "{:?} for {}", class, code);
            }
        }
    }
}
