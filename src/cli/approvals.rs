//! `lapsed approvals`

use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde::Serialize;

use crate::{
    cli::{ACTOR, Context, Exit, Failure, when::show},
    domain::{approval::ApprovalState, identity::PublicId, name::Label},
    explain,
    store::{
        approvals::{self, Approval, ApprovalError, Filter, Wanted},
        who::Who,
    },
};

/// The most that are listed.
const MOST: u64 = 1_000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List what waits for a second administrator.
    List {
        /// What was decided, has expired or is void as well.
        #[arg(long)]
        all: bool,
    },
    /// Show one request, and what approving it would do.
    Show {
        /// Its id.
        #[arg(value_name = "ID")]
        id: PublicId,
    },
    /// Approve a request: exactly what was asked for is done at once.
    Approve {
        /// Its id.
        #[arg(value_name = "ID")]
        id: PublicId,
    },
    /// Reject a request.
    Reject {
        /// Its id.
        #[arg(value_name = "ID")]
        id: PublicId,
        /// Why, for the trail and for whoever asked.
        #[arg(long)]
        reason: Option<Label>,
    },
}

/// What `--json` writes for each request.
#[derive(Debug, Serialize)]
struct ApprovalJson {
    id: String,
    /// Such as `revoke-key`; empty if the row is damaged.
    what: &'static str,
    /// The whole of it.
    request: Option<Wanted>,
    requested_by: String,
    /// The address of the owner of the token that asked.
    requester: Option<String>,
    requested_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// `pending`, `approved`, `rejected`, `expired` or `void`.
    state: &'static str,
    decided_by: Option<String>,
    decided_at: Option<DateTime<Utc>>,
    reason: Option<String>,
    /// What approving it would do, in words; only of a single request that waits.
    preview: Vec<String>,
}

impl ApprovalJson {
    fn new(approval: Approval, now: DateTime<Utc>) -> Self {
        Self {
            id: approval.public_id,
            what: approval.wanted.as_ref().map_or("", Wanted::word),
            request: approval.wanted,
            requested_by: approval.requested_by,
            requester: approval.requester,
            requested_at: approval.requested_at,
            expires_at: approval.expires_at,
            state: approval.state.at(approval.expires_at, now).as_str(),
            decided_by: approval.decided_by,
            decided_at: approval.decided_at,
            reason: approval.reason,
            preview: Vec::new(),
        }
    }

    fn who(&self) -> String {
        self.requester.clone().unwrap_or_else(|| self.requested_by.clone())
    }
}

pub(super) async fn run(ctx: &Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::List { all } => list(ctx, all).await?,
        Command::Show { id } => show_one(ctx, id).await?,
        Command::Approve { id } => {
            let base = &ctx.app.policies;
            let done = approvals::approve(ctx.db(), base, Who::Local(ACTOR), id.as_str()).await;
            tell(ctx, done).await?;
        }
        Command::Reject { id, reason } => {
            let reason = reason.as_ref().map(Label::as_str);
            tell(ctx, approvals::reject(ctx.db(), ACTOR, id.as_str(), reason).await).await?;
        }
    }
    Ok(Exit::Done)
}

async fn list(ctx: &Context, all: bool) -> anyhow::Result<()> {
    let now = ctx.now().await?;
    let state = (!all).then_some(ApprovalState::Pending);
    let filter = Filter { tenant_id: None, state };
    let found = approvals::list(ctx.db().conn(), filter, now, 0, MOST).await?;
    let found: Vec<_> = found.into_iter().map(|one| ApprovalJson::new(one, now)).collect();
    let headers = ["id", "what", "who asked", "since", "until", "state"];
    ctx.out.listing(headers, &found, |one| {
        [
            one.id.clone(),
            one.what.to_owned(),
            one.who(),
            show(one.requested_at, now).to_string(),
            show(one.expires_at, now).to_string(),
            one.state.to_owned(),
        ]
    })
}

async fn show_one(ctx: &Context, id: PublicId) -> anyhow::Result<()> {
    let now = ctx.now().await?;
    let found = approvals::find(ctx.db().conn(), id.as_str()).await?;
    let found = found.ok_or_else(|| missing(id.as_str()))?;
    let preview = explain::approval(ctx.db(), &ctx.app.policies, &found, now).await?;
    let one = ApprovalJson { preview, ..ApprovalJson::new(found, now) };
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let fields = [
        ("what", one.what.to_owned()),
        ("who asked", one.who()),
        ("since", show(one.requested_at, now).to_string()),
        ("until", show(one.expires_at, now).to_string()),
        ("state", one.state.to_owned()),
        ("decided by", text(one.decided_by.as_deref())),
        ("reason", text(one.reason.as_deref())),
        ("would do", one.preview.join("\n")),
    ];
    ctx.out.fields(&one, &fields)
}

fn missing(id: &str) -> anyhow::Error {
    Failure::new(format!("there is no request {id}"))
        .hint("`lapsed approvals list` shows what waits")
        .into()
}

async fn tell(ctx: &Context, done: Result<Approval, ApprovalError>) -> anyhow::Result<()> {
    let done = done.map_err(|error| match error {
        ApprovalError::NoRequest(id) => missing(&id),
        error => error.into(),
    })?;
    let one = ApprovalJson::new(done, ctx.now().await?);
    if ctx.out.is_json() {
        return ctx.out.json(&one);
    }
    ctx.out.note(&format!("{} {}: {}", one.what, one.id, one.state));
    Ok(())
}
