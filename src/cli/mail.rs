//! `lapsed mail`

use std::str::FromStr;

use clap::Subcommand;
use serde::Serialize;

use crate::{
    cli::{Context, Exit, Failure},
    domain::language::Language,
    jobs::deliver::Mailer,
    mail::{
        address::EmailAddress,
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
        /// What it is about: otp-reset, suspended, closing, expired, expiring, ending, shortened,
        /// review, rotated, created, purged; or brake. [default: all, as text]
        topic: Option<About>,
        /// How many keys it is about.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=500))]
        keys: u16,
        /// The language of its reader: en or de.
        #[arg(long, value_name = "LANG", default_value = "en", value_parser = language)]
        locale: Language,
        /// Write the HTML part instead of the text.
        #[arg(long, requires = "topic")]
        html: bool,
    },
}

pub(super) async fn run(ctx: &Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Test { address } => test(ctx, address).await,
        Command::Preview { topic, keys, locale, html } => {
            show(ctx, topic, (keys.into(), locale), html).await
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
    /// The brake, which is on.
    Brake,
}

impl FromStr for About {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "brake" => Ok(Self::Brake),
            topic => topic.parse().map(Self::Keys).map_err(|error| format!("{error}, `brake`")),
        }
    }
}

/// A language that mails are written in.
fn language(text: &str) -> Result<Language, String> {
    Language::of_tag(text).ok_or_else(|| format!("mails are written in en and de, not in {text}"))
}

async fn show(
    ctx: &Context,
    about: Option<About>,
    (n, language): (usize, Language),
    html: bool,
) -> anyhow::Result<Exit> {
    let mailer = ctx.app.mailer()?;
    let now = ctx.now().await?;
    let all = || Topic::ALL.into_iter().map(About::Keys).chain([About::Brake]).collect();
    let mut previews = Vec::new();
    for about in about.map_or_else(all, |about| vec![about]) {
        let letter = match about {
            About::Keys(topic) => {
                let digest = Digest { language, ..preview::sample(topic, n, now) };
                mailer.templates.render(&digest, now)?
            }
            About::Brake => {
                let Some(alarm) = preview::alarms(now).into_iter().next() else { continue };
                mailer.templates.render_alarm(&alarm, now)?
            }
        };
        let topic = match about {
            About::Keys(topic) => topic.as_str(),
            About::Brake => "brake",
        };
        let Letter { subject, text, html } = letter;
        previews.push(Preview { topic, subject, text, html });
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
    Ok(Outgoing { id: 0, from: built.from, to: built.to, bytes: built.bytes, not_after: None })
}

fn refused(outcome: &Outcome) -> anyhow::Error {
    Failure::new(format!("the mail was not taken over: {outcome}"))
        .hint("`lapsed config show` shows what [mail] and [smtp] say")
        .into()
}
