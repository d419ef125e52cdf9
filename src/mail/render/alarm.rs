//! An alarm to a letter: the layout of every mail, with words of its own.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use minijinja::{Value, context};

use super::{Letter, RenderError, Shape, Templates, wrap};
use crate::{
    domain::{brake::Destruction, language::Language},
    mail::{
        address::clean_name,
        alarm::Alarm,
        words::{Moment, label},
    },
};

/// What such a template says, block by block.
const BLOCKS: &[(&str, Shape)] = &[
    ("subject", Shape::Line),
    ("headline", Shape::Line),
    ("greeting", Shape::Line),
    ("intro", Shape::Paragraphs),
    ("advice_title", Shape::Line),
    ("advice", Shape::Paragraphs),
    ("why_title", Shape::Line),
    ("why", Shape::Paragraphs),
];

impl Templates {
    /// Writes the mail that says that the brake is on.
    pub fn render_alarm(&self, alarm: &Alarm, now: DateTime<Utc>) -> Result<Letter, RenderError> {
        let since =
            Moment { at: alarm.since, now, zone: Tz::UTC, language: Language::English }.full();
        let context = context! {
            n => alarm.n,
            one => alarm.n == 1,
            expires => alarm.what == Destruction::Expire,
            reason => &alarm.reason,
            tenant => alarm.tenant.as_deref().map(clean_name),
            hash => &alarm.hash,
            since => &since,
        };
        let look = (Language::English, "urgent", facts(alarm, &since));
        self.about_no_key("brake.txt", &context, look)
    }

    /// Writes a mail that is about no owner's keys, in the layout of those that are.
    pub(super) fn about_no_key(
        &self,
        template: &str,
        context: &Value,
        (language, tone, facts): (Language, &str, Vec<Value>),
    ) -> Result<Letter, RenderError> {
        let mut words = self.blocks(template, BLOCKS, context)?;
        let subject = words.remove("subject").map(|text| clean_name(&text.to_string()));
        let subject = subject.unwrap_or_default();
        let page = context! {
            subject => &subject,
            lang => language.tag(),
            dir => "ltr",
            tone,
            facts,
            // What a mail about keys has besides.
            preface => none(),
            hint => none(),
            more => none(),
            rows => none(),
            also => none(),
            button_url => Value::from(()),
            wish => Value::from(()),
            ..Value::from(words),
        };
        let text = self.whole("layout.txt", &page)?;
        let html = self.whole("layout.html", &page)?;
        Ok(Letter { subject, text: wrap::tidy_text(&text), html: wrap::tidy_html(&html) })
    }
}

fn facts(alarm: &Alarm, since: &str) -> Vec<Value> {
    let fact = |label: &str, value: &str| context! { label, value, is_code => false };
    let mut facts = vec![fact(label::HELD_BACK, &alarm.n.to_string()), fact(label::SINCE, since)];
    facts.extend(alarm.reason.as_deref().map(|reason| fact(label::REASON, reason)));
    facts
}

/// What stands for a list of which there is nothing.
fn none() -> Vec<Value> {
    Vec::new()
}
