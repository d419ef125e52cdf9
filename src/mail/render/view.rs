//! A digest as templates see it: cleaned, sorted, with every date and distance in words.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use minijinja::{Value, context, value::Object};

use crate::mail::{
    address::{clean_name, shorten},
    digest::{Audience, Digest, Item, Topic, Why},
    words::{self, Moment, Words},
};

/// Keys that one mail lists. More would be clipped by mail programs, and read by nobody.
pub(super) const MAX_KEYS: usize = 50;

/// Characters of a key's name in a subject: with the longest words around it, 120 in all.
const MAX_IN_SUBJECT: usize = 40;
/// Characters of an owner's name before a subject.
const MAX_OWNER_IN_SUBJECT: usize = 20;
/// Characters of a tenant or environment: names of the operator's making, usually slugs.
const MAX_PLACE: usize = 60;

/// What is the same in every mail of this installation.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    pub(super) public_url: Option<String>,
    pub(super) answers_are_read: bool,
}

/// One mail's digest, sorted and divided.
pub(super) struct View<'a> {
    digest: &'a Digest,
    now: DateTime<Utc>,
    surroundings: &'a Surroundings,
    /// What the mail is mainly about: the topic of its most urgent key.
    pub(super) topic: Topic,
    /// The keys of that topic, the most urgent first.
    lead: Vec<&'a Item>,
    /// The others, as they follow.
    also: Vec<(Topic, &'a Item)>,
}

impl<'a> View<'a> {
    /// `None` for a digest without keys.
    pub(super) fn new(
        digest: &'a Digest,
        surroundings: &'a Surroundings,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let items = digest.by_urgency(now);
        let (topic, _) = *items.first()?;
        let (lead, also): (Vec<_>, Vec<_>) = items.into_iter().partition(|(of, _)| *of == topic);
        let lead = lead.into_iter().map(|(_, item)| item).collect();
        Some(Self { digest, now, surroundings, topic, lead, also })
    }

    /// What the sentences are made of: counts, who reads, and the most urgent key.
    pub(super) fn context(&self) -> Value {
        let is_owner = matches!(self.digest.audience, Audience::Owner);
        let (whose_upper, whose_lower) = self.words().whose(is_owner);
        let n_unused = self.lead.iter().filter(|item| self.unused_days(item).is_some()).count();
        context! {
            n => self.lead.len(),
            one => self.lead.len() == 1,
            total => self.digest.items.len(),
            n_more => self.digest.items.len().saturating_sub(MAX_KEYS),
            n_unused,
            may_be_left => self.may_be_left(),
            unused_limit => words::UNUSED_DAYS,
            key => self.lead.first().map(|item| self.key(self.topic, item)),
            is_owner,
            Your => whose_upper,
            your => whose_lower,
            has_page => self.lead.iter().any(|item| item.link.is_some()),
            answers => self.surroundings.answers_are_read,
            overview_url => &self.surroundings.public_url,
            wish_url => self.digest.unsubscribe_link(self.now),
            zone => self.digest.time_zone.name(),
            ..self.reader(),
        }
    }

    /// What a layout shows besides sentences: the table of keys, and where its button leads.
    pub(super) fn page(&self) -> Value {
        let is_single = self.lead.len() == 1;
        let tone = match self.topic {
            Topic::Closing | Topic::Expired => "urgent",
            Topic::Expiring
            | Topic::Ending
            | Topic::Shortened
            | Topic::OtpReset
            | Topic::Suspended
            | Topic::SuspendedUnused
            | Topic::Unused
            | Topic::Review => "warn",
            Topic::Rotated | Topic::Created | Topic::Purged => "calm",
        };
        context! {
            lang => self.digest.language.tag(),
            dir => "ltr",
            tone,
            button_url => self.button_url(),
            facts => match self.lead.first() {
                Some(item) if is_single => self.facts(item),
                _ => Vec::new(),
            },
        }
    }

    /// The listed keys, as (whether it is one of the lead's, its topic, its variables). A lead
    /// of one key is not among them: all its facts are told.
    pub(super) fn rows(&self) -> impl Iterator<Item = (bool, Topic, Value)> {
        let n_told = usize::from(self.lead.len() == 1);
        let lead = self.lead.iter().map(|item| (true, self.topic, *item));
        let also = self.also.iter().map(|(topic, item)| (false, *topic, *item));
        let listed = lead.chain(also).take(MAX_KEYS).skip(n_told);
        listed.map(|(is_lead, topic, item)| (is_lead, topic, self.key(topic, item)))
    }

    /// One key's variables.
    fn key(&self, topic: Topic, item: &Item) -> Value {
        let name = self.display_name(item);
        let needs_dates = matches!(
            topic,
            Topic::Closing | Topic::Expired | Topic::Expiring | Topic::Ending | Topic::Shortened
        );
        // A window that has closed meanwhile is no way back any more.
        let window = item.window_ends_at.filter(|at| topic == Topic::Closing || *at > self.now);
        context! {
            id => item.public_id.as_str(),
            short_name => shorten(&name, MAX_IN_SUBJECT),
            name,
            tenant => clean_place(&item.tenant),
            place => place(item),
            kind => self.words().kind(item.kind),
            expires => self.moment_or(item.expires_at, needs_dates),
            window_ends => self.moment_or(window, topic == Topic::Closing),
            last_used => self.last_used(item),
            unused_days => self.unused_days(item),
            is_suspended => item.is_suspended,
            suspends => self.moment_or(item.suspends_at, topic == Topic::Unused),
            is_never_used => item.last_used_at.is_none(),
            // One button for all of them, or a link for each.
            link => item.link.as_ref().filter(|_| self.common_link().is_none()),
        }
    }

    /// What is told about a single key, as pairs of label and value.
    fn facts(&self, item: &Item) -> Vec<Value> {
        let (words, fact) = (
            self.words(),
            |label: &str, value: String| context! { label, value, is_code => false },
        );
        let label = &words.labels;
        let mut facts = vec![
            fact(label.name, self.display_name(item)),
            context! { label => label.id, value => item.public_id.as_str(), is_code => true },
            fact(label.place, place(item)),
            fact(label.kind, words.kind(item.kind).to_owned()),
            fact(label.created, self.at(item.created_at).full()),
        ];
        facts.push(match item.expires_at.map(|at| self.at(at)) {
            Some(expiry) if expiry.is_past() => fact(label.expired, expiry.full()),
            Some(expiry) => fact(label.expires, format!("{}: {}", expiry.ahead(), expiry.full())),
            None => fact(label.expires, words.never.to_owned()),
        });
        // The end of a window that is months away is no news.
        if let Some(window) = item.window_ends_at.filter(|at| *at > self.now && self.may_be_left())
        {
            facts.push(fact(label.back, words.until(&self.at(window).full())));
        }
        facts.push(fact(label.last_used, self.last_used(item)));
        facts
    }

    /// Who is greeted, and for whom the mail is meant.
    fn reader(&self) -> Value {
        match &self.digest.audience {
            Audience::Owner => {
                let name = self.digest.to_name.as_deref().map(clean_name).unwrap_or_default();
                context! { to_name => name, owner => self.words().you }
            }
            // Their letters are written without a view: see `alarm.rs`.
            Audience::Operators => context! { to_name => "", owner => self.words().no_name },
            Audience::Contacts { owner_name, owner_mail_masked, why } => {
                let reason = match why {
                    Why::Unreachable(reason) => Some(clean_name(reason)),
                    Why::Beside | Why::Copy | Why::Instead => None,
                };
                let owner = self.or_no_name(clean_name(owner_name));
                context! {
                    to_name => "",
                    short_owner_name => shorten(&owner, MAX_OWNER_IN_SUBJECT),
                    owner_name => &owner,
                    owner,
                    owner_mail => clean_name(owner_mail_masked),
                    reason,
                    is_owner_told => matches!(why, Why::Beside | Why::Copy),
                    by_rules => matches!(why, Why::Copy | Why::Instead),
                }
            }
        }
    }

    /// Where the one button leads: to the page that all keys share, else to the overview, if
    /// there are pages at all.
    fn button_url(&self) -> Option<String> {
        let has_links = self.lead.iter().any(|item| item.link.is_some());
        let overview = self.surroundings.public_url.as_deref().filter(|_| has_links);
        if let (Topic::Rotated, [only]) = (self.topic, self.lead.as_slice())
            && let Some(link) = &only.link
        {
            // Whoever rotated the key knows of it: the mail is for whoever did not.
            return Some(format!("{link}/{}/suspend", only.public_id));
        }
        self.common_link().or(overview).map(str::to_owned)
    }

    /// The link of all keys of the lead, if it is the same one.
    fn common_link(&self) -> Option<&str> {
        let first = self.lead.first()?.link.as_deref()?;
        self.lead.iter().all(|item| item.link.as_deref() == Some(first)).then_some(first)
    }

    /// Whether doing nothing is a sensible answer to this mail: the key then ends by itself.
    fn may_be_left(&self) -> bool {
        matches!(self.topic, Topic::Closing | Topic::Expired | Topic::Expiring | Topic::Ending)
    }

    /// For how many days a key has not been used, if it is long enough to mention.
    fn unused_days(&self, item: &Item) -> Option<i64> {
        let days = (self.now - item.last_used_at.unwrap_or(item.created_at)).num_days();
        (days >= words::UNUSED_DAYS).then_some(days)
    }

    fn last_used(&self, item: &Item) -> String {
        item.last_used_at.map_or_else(|| self.words().never.to_owned(), |at| self.at(at).ago())
    }

    fn at(&self, at: DateTime<Utc>) -> Moment {
        let Digest { time_zone: zone, language, .. } = *self.digest;
        Moment { at, now: self.now, zone, language }
    }

    /// An instant's words; for one that is missing nothing, or a stopgap if sentences need one.
    fn moment_or(&self, at: Option<DateTime<Utc>>, is_needed: bool) -> Option<Value> {
        match at.map(|at| self.at(at)) {
            Some(moment) => Some(Value::from_object(moment)),
            None if is_needed => {
                let &Words { unknown_date: unknown, soon, .. } = self.words();
                Some(context! {
                    ahead => soon,
                    ago => unknown,
                    day => unknown,
                    local => unknown,
                    full => unknown,
                    is_near => true,
                })
            }
            None => None,
        }
    }

    fn words(&self) -> &'static Words {
        Words::of(self.digest.language)
    }

    fn display_name(&self, item: &Item) -> String {
        self.or_no_name(clean_name(&item.name))
    }

    fn or_no_name(&self, name: String) -> String {
        if name.is_empty() { self.words().no_name.to_owned() } else { name }
    }
}

/// In templates, an instant has these words: each is made when a sentence asks for it.
impl Object for Moment {
    fn get_value(self: &Arc<Self>, field: &Value) -> Option<Value> {
        Some(match field.as_str()? {
            "ahead" => self.ahead().into(),
            "ago" => self.ago().into(),
            "day" => self.day().into(),
            "local" => self.local().into(),
            "full" => self.full().into(),
            "is_near" => self.is_near().into(),
            _ => return None,
        })
    }

    /// Templates ask whether there is one.
    fn is_true(self: &Arc<Self>) -> bool {
        true
    }
}

fn clean_place(name: &str) -> String {
    shorten(&clean_name(name), MAX_PLACE)
}

fn place(item: &Item) -> String {
    words::place(&clean_place(&item.tenant), &clean_place(&item.environment))
}
