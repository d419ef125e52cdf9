//! Digests to letters: the words and the layout of a mail.
//!
//! What is said is written once, in `text/*.txt`; `layout.txt` and `layout.html` show it, so the
//! two halves of a mail cannot tell different things. Names of keys and people are only ever
//! values: a template in one is text like any other.

mod alarm;
mod load;
mod reset;
mod view;
mod wrap;

use std::{collections::BTreeMap, fmt, path::PathBuf};

use chrono::{DateTime, Utc};
use minijinja::{Environment, Value, context};
use thiserror::Error;

pub use load::TemplateError;
use view::{Surroundings, View};

use crate::mail::{address::clean_name, digest::Digest};

/// How the text of a block goes into a layout.
#[derive(Clone, Copy)]
enum Shape {
    /// As one line.
    Line,
    /// As a list of its lines.
    Lines,
    /// As a list of paragraphs, some of them commands to type.
    Paragraphs,
}

/// What the template of every topic says, block by block.
const TOPIC_BLOCKS: &[(&str, Shape)] = &[
    ("subject", Shape::Line),
    ("headline", Shape::Line),
    ("intro", Shape::Paragraphs),
    ("advice", Shape::Paragraphs),
    ("button", Shape::Line),
];

/// What `common.txt` says, block by block.
const COMMON_BLOCKS: &[(&str, Shape)] = &[
    ("subject_prefix", Shape::Line),
    ("greeting", Shape::Line),
    ("preface", Shape::Paragraphs),
    ("advice_title", Shape::Line),
    ("hint", Shape::Paragraphs),
    ("link_note", Shape::Line),
    ("keys_title", Shape::Line),
    ("columns", Shape::Lines),
    ("also_title", Shape::Line),
    ("more", Shape::Paragraphs),
    ("why_title", Shape::Line),
    ("why", Shape::Paragraphs),
    ("wish", Shape::Line),
];

/// What an operator decides about the words of mails.
#[derive(Clone, Debug, Default)]
pub struct TemplateSettings {
    /// A folder with templates to use instead of ours.
    pub operator_folder: Option<PathBuf>,
    /// Where people find the overview of their keys, if pages are served.
    pub public_url: Option<String>,
    /// Whether somebody reads what is sent to the mails' reply address.
    pub answers_are_read: bool,
}

/// The words of every mail, checked once, at the start. Cheap to clone.
#[derive(Clone)]
pub struct Templates {
    environment: Environment<'static>,
    surroundings: Surroundings,
}

/// One mail's words.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    /// One clean line of at most 120 characters.
    pub subject: String,
    /// Plain text, readable alone. Lines end in LF and have at most 75 characters, unless there
    /// is an address of the web in them.
    pub text: String,
    /// The same as a page without anything to load.
    pub html: String,
}

/// Why a digest could not be written.
#[derive(Debug, Error)]
pub enum RenderError {
    /// There is no key to tell about.
    #[error("a mail about no key")]
    NoKeys,
    /// A template could not be rendered.
    #[error("render the template `{template}`")]
    Template {
        /// Which one; the fault may be in one that it includes.
        template: String,
        /// What is wrong with it.
        source: Box<minijinja::Error>,
    },
}

impl Templates {
    /// Reads the templates, the operator's before ours, and renders samples of every mail, so
    /// that a broken template stops the start and not a reminder.
    pub fn new(settings: &TemplateSettings) -> Result<Self, TemplateError> {
        let surroundings = Surroundings {
            public_url: settings.public_url.clone(),
            answers_are_read: settings.answers_are_read,
        };
        let folder = settings.operator_folder.as_deref();
        let templates = Self { environment: load::environment(folder)?, surroundings };
        if let Some(folder) = folder {
            load::check(&templates, folder)?;
        }
        Ok(templates)
    }

    /// Writes the mail about `digest` as of `now`.
    pub fn render(&self, digest: &Digest, now: DateTime<Utc>) -> Result<Letter, RenderError> {
        let view = View::new(digest, &self.surroundings, now).ok_or(RenderError::NoKeys)?;
        let context = view.context();
        let named = |name: &str| load::in_language(digest.language, name);
        let mut common = self.blocks(&named("common.txt"), COMMON_BLOCKS, &context)?;
        let lead = named(&format!("{}.txt", view.topic));
        let mut lead = self.blocks(&lead, TOPIC_BLOCKS, &context)?;
        let subject = match (common.remove("subject_prefix"), lead.remove("subject")) {
            (Some(prefix), Some(subject)) => clean_name(&format!("{prefix} {subject}")),
            _ => String::new(),
        };
        let (rows, also) = self.rows(&view, &named("row.txt"), &context)?;
        let words = context! { ..Value::from(common), ..Value::from(lead) };
        let page = context! {
            subject => &subject,
            rows,
            also,
            ..context! { ..view.page(), ..words, ..context }
        };
        let text = self.whole("layout.txt", &page)?;
        let html = self.whole("layout.html", &page)?;
        Ok(Letter { subject, text: wrap::tidy_text(&text), html: wrap::tidy_html(&html) })
    }

    /// The table of the lead's keys and that of the others, each key with its own sentence.
    fn rows(
        &self,
        view: &View<'_>,
        template: &str,
        context: &Value,
    ) -> Result<(Vec<Value>, Vec<Value>), RenderError> {
        let (mut rows, mut also) = (Vec::new(), Vec::new());
        for (is_lead, topic, key) in view.rows() {
            let topic = topic.as_str();
            let context = context! { topic, key => &key, ..context.clone() };
            let status = lines(&self.whole(template, &context)?);
            let row = context! { status, ..key };
            if is_lead { rows.push(row) } else { also.push(row) }
        }
        Ok((rows, also))
    }

    /// All that a template says.
    fn whole(&self, template: &str, context: &Value) -> Result<String, RenderError> {
        let rendered =
            self.environment.get_template(template).and_then(|found| found.render(context));
        rendered.map_err(RenderError::of(template))
    }

    /// What the named blocks of a template say, in the shapes that layouts want.
    fn blocks(
        &self,
        template: &str,
        blocks: &[(&'static str, Shape)],
        context: &Value,
    ) -> Result<BTreeMap<&'static str, Value>, RenderError> {
        let found = self.environment.get_template(template);
        let mut rendered = found
            .and_then(|found| found.render_captured(context))
            .map_err(RenderError::of(template))?;
        let mut values = BTreeMap::new();
        for (name, shape) in blocks {
            let text = rendered
                .with_state_mut(|state| state.render_block(name))
                .map_err(RenderError::of(template))?;
            let value = match shape {
                Shape::Line => Value::from(one_line(&text)),
                Shape::Lines => Value::from(lines(&text)),
                Shape::Paragraphs => Value::from(paragraphs(&text)),
            };
            values.insert(*name, value);
        }
        Ok(values)
    }
}

impl RenderError {
    /// For `map_err`: says which template it was.
    fn of(template: &str) -> impl FnOnce(minijinja::Error) -> Self {
        move |source| Self::Template { template: template.to_owned(), source: Box::new(source) }
    }
}

/// `text` on one line. Blanks that must not become the end of a line stay what they are.
fn one_line(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// The lines of `text` that have something in them.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(one_line).filter(|line| !line.is_empty()).map(Value::from).collect()
}

/// The paragraphs of `text`. An empty line divides them; an indented line is a command to type,
/// and a paragraph of its own.
fn paragraphs(text: &str) -> Vec<Value> {
    let (mut paragraphs, mut open) = (Vec::new(), String::new());
    let mut push = |text: &str, is_code: bool| {
        let text = one_line(text);
        if !text.is_empty() {
            paragraphs.push(context! { text, is_code });
        }
    };
    for line in text.lines() {
        if line.starts_with("    ") || line.trim().is_empty() {
            push(&std::mem::take(&mut open), false);
            push(line, true);
        } else {
            open.push_str(line);
            open.push(' ');
        }
    }
    push(&open, false);
    paragraphs
}

/// A letter may contain links that open doors, so none of it is for logs.
impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter").finish_non_exhaustive()
    }
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Templates")
            .field("surroundings", &self.surroundings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
