//! `lapsed mail`

use std::str::FromStr;

use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde::Serialize;

use crate::{
    cli::{Context, Exit, Failure},
    domain::language::Language,
    jobs::deliver::Mailer,
    mail::{
        address::EmailAddress,
        alarm::Alarm,
        build::build,
        digest::{Digest, Topic},
        outcome::Outcome,
        preview,
        render::Letter,
        transport::Outgoing,
    },
    store::channel,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Send a test mail, and say what the mail server answered.
    #[command(after_help = "Example:\n  lapsed mail test you@example.com")]
    Test {
        /// Whom to send it to.
        address: EmailAddress,
    },
    /// Show a mail as it would be written, with made-up keys.
    #[command(
        after_help = "Examples:\n  lapsed mail preview expiring --keys 3\n  lapsed mail preview closing --html > closing.html"
    )]
    Preview {
        /// What it is about: otp-reset, suspended, suspended-unused, unused, shortened, closing,
        /// expired, expiring, ending, review, rotated, created, purged; otp-reset-alone, to somebody
        /// without a key; or brake. [default: all, as text]
        topic: Option<About>,
        /// How many keys it is about.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=500))]
        keys: u16,
        /// The language of its reader: en or de.
        #[arg(long, value_name = "LANG", default_value = "en", value_parser = language)]
        locale: Language,
        /// As the tenant's contacts get it in the place of an owner.
        #[arg(long)]
        contacts: bool,
        /// Write the HTML part instead of the text.
        #[arg(long, requires = "topic")]
        html: bool,
    },
}

pub(super) async fn run(ctx: &Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Test { address } => test(ctx, address).await,
        Command::Preview { topic, keys, locale, contacts, html } => {
            let look = Look { n: keys.into(), language: locale, is_for_contacts: contacts };
            show(ctx, topic, look, html).await
        }
    }
}

/// A rendered mail, as JSON has it.
#[derive(Debug, Serialize)]
struct Preview {
    topic: &'static str,
    subject: String,
    text: String,
    html: String,
}

/// What a mail is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum About {
    /// Keys.
    Keys(Topic),
    /// A second factor that was reset, of an owner who has no key.
    ResetAlone,
    /// The brake, which is on.
    Brake,
}

impl FromStr for About {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "otp-reset-alone" => Ok(Self::ResetAlone),
            "brake" => Ok(Self::Brake),
            topic => topic
                .parse()
                .map(Self::Keys)
                .map_err(|error| format!("{error}, `otp-reset-alone`, `brake`")),
        }
    }
}

impl About {
    fn all() -> Vec<Self> {
        Topic::ALL.into_iter().map(Self::Keys).chain([Self::ResetAlone, Self::Brake]).collect()
    }

    /// What people type, and the template's name.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Keys(topic) => topic.as_str(),
            Self::ResetAlone => "otp-reset-alone",
            Self::Brake => "brake",
        }
    }
}

/// For whom a mail is previewed.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// How many keys it is about.
    n: usize,
    language: Language,
    is_for_contacts: bool,
}

impl Look {
    /// The sample of a mail about `topic`, with `n` keys.
    fn sample(self, topic: Topic, n: usize, now: DateTime<Utc>) -> Digest {
        let digest = Digest { language: self.language, ..preview::sample(topic, n, now) };
        if self.is_for_contacts {
            preview::without_pages(preview::for_contacts(digest))
        } else {
            digest
        }
    }

    /// The sample of a mail about the brake: to a tenant's contacts, it is about their own keys.
    fn alarm(self, now: DateTime<Utc>) -> Option<Alarm> {
        let mut alarms = preview::alarms(now).into_iter();
        alarms.find(|alarm| alarm.tenant.is_some() == self.is_for_contacts)
    }
}

/// A language that mails are written in.
fn language(text: &str) -> Result<Language, String> {
    Language::of_tag(text).ok_or_else(|| format!("mails are written in en and de, not in {text}"))
}

async fn show(ctx: &Context, about: Option<About>, look: Look, html: bool) -> anyhow::Result<Exit> {
    let templates = ctx.app.mailer()?.templates;
    let now = ctx.now().await?;
    let mut previews = Vec::new();
    for about in about.map_or_else(About::all, |about| vec![about]) {
        let letter = match about {
            About::Keys(topic) => templates.render(&look.sample(topic, look.n, now), now)?,
            About::ResetAlone => {
                templates.render_reset(&look.sample(Topic::OtpReset, 0, now), "acme")?
            }
            About::Brake => {
                let Some(alarm) = look.alarm(now) else { continue };
                templates.render_alarm(&alarm, now)?
            }
        };
        let Letter { subject, text, html } = letter;
        previews.push(Preview { topic: about.as_str(), subject, text, html });
    }
    if ctx.out.is_json() {
        ctx.out.json(&previews)?;
        return Ok(Exit::Done);
    }
    for (n, preview) in previews.iter().enumerate() {
        if html {
            ctx.out.raw(preview.html.as_bytes())?;
            continue;
        }
        let rule = if n > 0 { format!("\n{}\n\n", "─".repeat(75)) } else { String::new() };
        ctx.out.line(&format!("{rule}Subject: {}\n\n{}", preview.subject, preview.text))?;
    }
    Ok(Exit::Done)
}

async fn test(ctx: &Context, address: EmailAddress) -> anyhow::Result<Exit> {
    let mailer = ctx.app.mailer()?;
    match mailer.transport.check().await {
        Ok(found) => ctx.out.note(&found),
        Err(outcome) => return Err(refused(&outcome)),
    }
    let mail = test_mail(ctx, &mailer, address).await?;
    match mailer.send_one(mail).await {
        Outcome::Accepted { reply, .. } => {
            ctx.out.line(&format!("taken over: {reply}"))?;
            if channel::lift(ctx.db().conn(), ctx.now().await?).await? {
                ctx.out.note("the pause of all mail is over: the next run sends what waits");
            }
            Ok(Exit::Done)
        }
        outcome => Err(refused(&outcome)),
    }
}

async fn test_mail(
    ctx: &Context,
    mailer: &Mailer,
    address: EmailAddress,
) -> anyhow::Result<Outgoing> {
    let now = ctx.now().await?;
    let id = format!("test.{:016x}@{}", rand::random::<u64>(), mailer.sender.domain);
    let sample = preview::sample(Topic::Created, 1, now);
    let digest = Digest {
        message_id: id,
        to: vec![address],
        to_name: None,
        // It is about no key: no thread, nothing for a calendar, nothing to switch off.
        wish_link: None,
        items: Vec::new(),
        ..sample
    };
    let text = "This is a test mail of lapsed, which looks after API keys until they end.\n\n\
                It arrived: mails about keys will, too. There is nothing to do.\n";
    let letter = Letter {
        subject: "Test mail of lapsed".to_owned(),
        text: text.to_owned(),
        html: format!("<!DOCTYPE html><html lang=\"en\"><body><p>{text}</p></body></html>"),
    };
    let built = build(&letter, &digest, &mailer.sender, now)?;
    Ok(Outgoing::new(0, built))
}

fn refused(outcome: &Outcome) -> anyhow::Error {
    Failure::new(format!("the mail was not taken over: {outcome}"))
        .hint("`lapsed config show` shows what [mail] and [smtp] say")
        .into()
}
