//! `lapsed notices`

use clap::{Subcommand, ValueEnum};

use crate::{
    cli::{ACTOR, Context, Exit, Failure, args::KeyName, keys, views::NoticeJson, when::show},
    domain::key::KeyId,
    store::{
        NoticeStatus,
        history::{self, NoticeFilter},
        retry::{self, Which},
    },
};

/// Where a notice can stand.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum StatusArg {
    Pending,
    Queued,
    Told,
    Superseded,
    Void,
    Escalated,
    Failed,
    Baseline,
    Muted,
}

impl StatusArg {
    fn status(self) -> NoticeStatus {
        match self {
            Self::Pending => NoticeStatus::Pending,
            Self::Queued => NoticeStatus::Queued,
            Self::Told => NoticeStatus::Told,
            Self::Superseded => NoticeStatus::Superseded,
            Self::Void => NoticeStatus::Void,
            Self::Escalated => NoticeStatus::Escalated,
            Self::Failed => NoticeStatus::Failed,
            Self::Baseline => NoticeStatus::Baseline,
            Self::Muted => NoticeStatus::Muted,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List notices, newest first.
    #[command(after_help = "Example:\n  lapsed notices list --status failed")]
    List {
        /// Only those that stand so.
        #[arg(long)]
        status: Option<StatusArg>,
        /// Only those about this key.
        #[arg(long, value_name = "ID")]
        key: Option<KeyName>,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: u64,
    },
    /// Show one notice, with the message that carries it.
    Show {
        /// Its number.
        #[arg(value_name = "NUMBER")]
        notice: i64,
    },
    /// Try failed notices again, with what travels in the same message.
    #[command(after_help = "Examples:\n  lapsed notices retry 4711\n  lapsed notices retry --all")]
    Retry {
        /// Its number.
        #[arg(value_name = "NUMBER", required_unless_present = "all")]
        notice: Option<i64>,
        /// All that have failed.
        #[arg(long, conflicts_with = "notice")]
        all: bool,
    },
}

pub(super) async fn run(ctx: &Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::List { status, key, limit } => {
            let key = match key {
                Some(name) => Some(KeyId(keys::number(ctx, name).await?)),
                None => None,
            };
            let status = status.map(StatusArg::status);
            let filter = NoticeFilter { key, status, ..NoticeFilter::default() };
            list(ctx, filter, limit).await?;
        }
        Command::Show { notice } => show_one(ctx, notice).await?,
        Command::Retry { notice, .. } => retry(ctx, notice).await?,
    }
    Ok(Exit::Done)
}

async fn list(ctx: &Context, filter: NoticeFilter, limit: u64) -> anyhow::Result<()> {
    let now = ctx.now().await?;
    let all = history::notices(ctx.db(), filter, limit).await?;
    let all: Vec<NoticeJson> = all.into_iter().map(Into::into).collect();
    ctx.out.listing(["number", "key", "owner", "stage", "status", "due"], &all, |notice| {
        [
            notice.id.to_string(),
            notice.key.clone().unwrap_or_else(|| "gone".to_owned()),
            notice.owner.clone().unwrap_or_else(|| "gone".to_owned()),
            notice.stage.clone(),
            notice.status.to_owned(),
            show(notice.due_at, now),
        ]
    })
}

async fn show_one(ctx: &Context, id: i64) -> anyhow::Result<()> {
    let now = ctx.now().await?;
    let filter = NoticeFilter { id: Some(id), ..Default::default() };
    let notice = history::notices(ctx.db(), filter, 1).await?.pop().ok_or_else(|| {
        Failure::new(format!("there is no notice {id}"))
            .hint("`lapsed notices list` shows the newest ones")
    })?;
    let notice = NoticeJson::from(notice);
    let maybe = |at: Option<_>| at.map_or_else(String::new, |at| show(at, now));
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let message = notice.message.as_ref();
    let fields = [
        ("number", notice.id.to_string()),
        ("key", text(&notice.key)),
        ("owner", text(&notice.owner)),
        ("stage", notice.stage.clone()),
        ("status", notice.status.to_owned()),
        ("why", text(&notice.reason)),
        ("due", show(notice.due_at, now)),
        ("told", maybe(notice.told_at)),
        ("message id", message.map_or_else(String::new, |message| message.message_id.clone())),
        ("message", message.map_or_else(String::new, |message| message.status.to_owned())),
        ("attempts", message.map_or_else(String::new, |message| message.attempts.to_string())),
        ("next attempt", maybe(message.and_then(|message| message.next_attempt_at))),
        ("last reply", message.map_or_else(String::new, |message| text(&message.last_reply))),
    ];
    ctx.out.fields(&notice, &fields)
}

async fn retry(ctx: &Context, notice: Option<i64>) -> anyhow::Result<()> {
    let which = notice.map_or(Which::All, Which::One);
    let retried = retry::retry(ctx.db(), ACTOR, which).await?;
    if let (Some(id), 0, 0) = (notice, retried.n_messages, retried.n_notices) {
        return Err(Failure::new(format!("notice {id} has not failed"))
            .hint(format!("lapsed notices show {id}"))
            .into());
    }
    ctx.out.note(&format!(
        "{} notices will be tried again, {} messages are due now",
        retried.n_notices, retried.n_messages
    ));
    Ok(())
}
