//! Where templates come from: embedded, and from a folder of the operator's.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use chrono::DateTime;
use minijinja::{
    AutoEscape, Environment, Error, Output, State, UndefinedBehavior, Value, syntax::SyntaxConfig,
};
use thiserror::Error;

use crate::{
    domain::language::Language,
    mail::{
        digest::{Digest, Topic},
        preview,
        render::{Letter, RenderError, Templates, wrap},
    },
};

/// Lists the embedded templates: their names are their files' names.
macro_rules! embedded {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, concat!("default/", $name), include_str!(concat!("../text/", $name)))),+]
    };
}

/// Every template, by the name an operator replaces it by, the name ours keeps then, and its text.
const EMBEDDED: &[(&str, &str, &str)] = embedded![
    "ask.txt",
    "brake.txt",
    "closing.txt",
    "common.txt",
    "created.txt",
    "ending.txt",
    "expired.txt",
    "expiring.txt",
    "layout.html",
    "layout.txt",
    "otp-reset.txt",
    "otp-reset-alone.txt",
    "purged.txt",
    "review.txt",
    "rotated.txt",
    "suspended.txt",
    "suspended-unused.txt",
    "row.txt",
    "shortened.txt",
    "unused.txt",
    "de/ask.txt",
    "de/closing.txt",
    "de/common.txt",
    "de/created.txt",
    "de/ending.txt",
    "de/expired.txt",
    "de/expiring.txt",
    "de/otp-reset.txt",
    "de/otp-reset-alone.txt",
    "de/purged.txt",
    "de/review.txt",
    "de/rotated.txt",
    "de/row.txt",
    "de/shortened.txt",
    "de/suspended.txt",
    "de/suspended-unused.txt",
    "de/unused.txt",
];

/// The name of a template in `language`: those of English have none before them.
pub(super) fn in_language(language: Language, name: &str) -> String {
    match language {
        Language::English => name.to_owned(),
        other => format!("{}/{name}", other.tag()),
    }
}

/// Why the templates cannot be used. Names the file, and the line where there is one.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// The folder or a file in it cannot be read.
    #[error("read `{}`", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that replaces nothing, and so would silently do nothing.
    #[error("`{}` is not the name of a template\nhint: did you mean `{nearest}`?", path.display())]
    Unknown {
        /// Which one.
        path: PathBuf,
        /// The template's name that looks most like it.
        nearest: &'static str,
    },
    /// A template that cannot be read as one, or that fails with a sample mail.
    #[error("`{place}`: {problem}")]
    Broken {
        /// The file and, if it is known, the line, like `folder/expired.txt:12`.
        place: String,
        /// What is wrong there.
        problem: String,
    },
}

/// The embedded templates, with those of `folder` in their place.
///
/// Ours stay to be had as `default/…`, so that an operator's template can extend one and change
/// a single block of it.
pub(super) fn environment(folder: Option<&Path>) -> Result<Environment<'static>, TemplateError> {
    let ours = |error: Error| broken(&error, Path::new("(embedded)"), "");
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    let mut environment = Environment::new();
    environment.set_syntax(syntax.map_err(ours)?);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|name| match name.ends_with(".html") {
        true => AutoEscape::Html,
        false => AutoEscape::None,
    });
    environment.set_formatter(write_value);
    environment.add_filter("wrap", |text: &str, label: Option<&str>, indent: Option<usize>| {
        wrap::wrap(text, label.unwrap_or_default(), indent.unwrap_or_default())
    });
    // Ours are compiled when they are first used: all of them, in every language, would be megabytes
    // of which most installations use a few.
    environment.set_loader(|name| Ok(embedded(name).map(in_blocks)));
    if let Some(folder) = folder {
        for path in files_in(folder)? {
            add_override(&mut environment, folder, &path)?;
        }
    }
    Ok(environment)
}

/// The text of an embedded template, by either of its names.
fn embedded(name: &str) -> Option<&'static str> {
    let found = EMBEDDED.iter().find(|(own, ours, _)| [*own, *ours].contains(&name));
    found.map(|(_, _, text)| *text)
}

/// A template of ours whose words are in blocks, each of which is asked for by its name, says nothing
/// by itself: otherwise every mail would be worded twice.
fn in_blocks(text: &str) -> String {
    match text.contains("{% block ") {
        true => format!("{{% if false %}}{text}{{% endif %}}"),
        false => text.to_owned(),
    }
}

/// Writes a value into a page or a text.
///
/// minijinja alone would also escape the slashes of addresses, and a link written like that looks
/// to a spam filter as if it had something to hide.
fn write_value(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    let text = match value.as_str() {
        Some(text) if *state.auto_escape() == AutoEscape::Html && !value.is_safe() => text,
        _ => return minijinja::escape_formatter(out, state, value),
    };
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
        let (plain, special) = rest.split_at(at);
        out.write_str(plain)?;
        out.write_str(match special.as_bytes().first() {
            Some(b'&') => "&amp;",
            Some(b'<') => "&lt;",
            Some(b'>') => "&gt;",
            Some(b'"') => "&quot;",
            _ => "&#39;",
        })?;
        rest = special.get(1..).unwrap_or_default();
    }
    Ok(out.write_str(rest)?)
}

/// The files of a folder and of its folders for languages, in the order of their names. Hidden ones
/// are left out: editors leave them, and a Kubernetes volume keeps its data in one.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, TemplateError> {
    let unreadable = |source| TemplateError::Unreadable { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (name, path) = (entry.file_name(), entry.path());
        let is_language = name.to_str().is_some_and(|name| {
            Language::ALL.into_iter().any(|language| name == language.tag()) && path.is_dir()
        });
        if is_language {
            files.extend(files_in(&path)?);
        } else if !name.as_encoded_bytes().starts_with(b".") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn add_override(
    environment: &mut Environment<'static>,
    folder: &Path,
    path: &Path,
) -> Result<(), TemplateError> {
    let file_name = path.strip_prefix(folder).unwrap_or(path).to_string_lossy();
    let Some((name, ..)) = EMBEDDED.iter().find(|(name, ..)| *name == file_name) else {
        let nearest = EMBEDDED
            .iter()
            .map(|(name, ..)| *name)
            .min_by_key(|name| strsim::damerau_levenshtein(name, &file_name))
            .unwrap_or_default();
        return Err(TemplateError::Unknown { path: path.to_owned(), nearest });
    };
    let source = fs::read_to_string(path)
        .map_err(|source| TemplateError::Unreadable { path: path.to_owned(), source })?;
    environment.add_template_owned(*name, source).map_err(|error| broken(&error, folder, name))
}

/// Renders every sample mail. Nobody wants to learn from a missing reminder that a template names
/// a variable that does not exist.
pub(super) fn check(templates: &Templates, folder: &Path) -> Result<(), TemplateError> {
    // Any instant will do: samples are made relative to it.
    let now = DateTime::UNIX_EPOCH;
    let digests = preview::all(now);
    let digests = digests.iter().map(|digest| templates.render(digest, now));
    let alarms = preview::alarms(now);
    let alarms = alarms.iter().map(|alarm| templates.render_alarm(alarm, now));
    let alone = preview::sample(Topic::OtpReset, 0, now);
    let resets = Language::ALL.into_iter().flat_map(|language| {
        [preview::for_contacts(alone.clone()), alone.clone()]
            .map(|digest| Digest { language, ..digest })
    });
    let resets: Vec<Digest> = resets.collect();
    let resets = resets.iter().map(|digest| templates.render_reset(digest, "acme"));
    for letter in digests.chain(alarms).chain(resets) {
        match letter {
            Ok(letter) => check_letter(&letter, folder)?,
            Err(RenderError::Template { template, source }) => {
                return Err(broken(&source, folder, &template));
            }
            Err(RenderError::NoKeys) => (),
        }
    }
    Ok(())
}

/// Refuses what renders and yet is no mail.
fn check_letter(letter: &Letter, folder: &Path) -> Result<(), TemplateError> {
    let empty = if letter.subject.is_empty() {
        "a subject"
    } else if letter.text.is_empty() {
        "a text"
    } else if letter.html.is_empty() {
        "a page"
    } else {
        return Ok(());
    };
    let place = folder.display().to_string();
    Err(TemplateError::Broken { place, problem: format!("{empty} comes out empty") })
}

/// A template's error, with the file and the line it is about: `rendered`, or one it includes.
fn broken(error: &Error, folder: &Path, rendered: &str) -> TemplateError {
    // Errors in a block or an included file arrive wrapped; the innermost says where it is.
    let mut innermost = error;
    while let Some(source) = std::error::Error::source(innermost) {
        let Some(source) = source.downcast_ref() else { break };
        innermost = source;
    }
    let file = folder.join(innermost.name().unwrap_or(rendered));
    let place = match innermost.line() {
        Some(line) => format!("{}:{line}", file.display()),
        None => file.display().to_string(),
    };
    let problem = match innermost.detail() {
        Some(detail) => format!("{}: {detail}", innermost.kind()),
        None => innermost.kind().to_string(),
    };
    TemplateError::Broken { place, problem }
}

#[cfg(test)]
mod tests;
