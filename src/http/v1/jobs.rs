//! The daemon's work: what will happen, what was done, and a run by hand.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tracing::{Instrument as _, info};
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::plan::{self, Day, Plan},
    http::{
        problem::Problem,
        v1::{
            api::Api,
            auth::{Allowed, Operate, Read},
            input::Params,
            refusal::{malformed, not_found},
            views::{Page, ProblemView},
        },
    },
    jobs::{
        self,
        runner::{Cause, RunError},
    },
    store::{
        health,
        runs::{self, Run},
    },
};

/// Keys read at a time.
const PAGE: u64 = 2000;
/// How long an answer waits for the end of a run.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far ahead.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PlanParams {
    /// So many days; 30 if absent.
    #[param(minimum = 1, maximum = 3650)]
    days: Option<u16>,
}

/// What will happen if nobody acts.
#[derive(Serialize, ToSchema)]
#[schema(as = Plan)]
pub(super) struct PlanBody {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    /// The days (UTC) on which something happens; what is overdue counts for today.
    days: Vec<PlannedDay>,
    total: PlannedDay,
    /// Damaged rows: nothing happens to them.
    n_damaged: u64,
}

/// What happens on one day.
#[derive(Serialize, ToSchema)]
pub(super) struct PlannedDay {
    /// `null` for the sum.
    day: Option<String>,
    /// Notices that will be written. Several for one owner become one mail.
    n_notices: u64,
    n_expired: u64,
    /// Keys that will be suspended, of those that are out of use already.
    n_suspended: u64,
    n_purged: u64,
}

impl PlannedDay {
    fn new(day: Option<String>, counts: &Day) -> Self {
        let Day { n_notices, n_expired, n_suspended, n_purged } = *counts;
        Self { day, n_notices, n_expired, n_suspended, n_purged }
    }
}

/// Show the plan
#[utoipa::path(get, path = "/v1/plan", tag = "jobs",
    params(PlanParams),
    security(("token" = ["viewer", "operator", "admin", "auditor"])),
    responses((status = 200, body = PlanBody),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn plan(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Read>,
    Params(params): Params<PlanParams>,
) -> Result<Json<PlanBody>, Problem> {
    let days = params.days.unwrap_or(30);
    if !(1..=3650).contains(&days) {
        return Err(malformed("`days`: from 1 to 3650"));
    }
    let tenant_id = caller.tenant.as_ref().map(|(_, id)| *id);
    let (now, policies) = (api.now().await?, api.policies().await?);
    let until = plan::until(now, TimeDelta::days(days.into()));
    let (mut plan, mut n_damaged, mut after) = (Plan::default(), 0, Some(0));
    while let Some(last) = after {
        let db = api.db()?;
        let page = health::upcoming_of(db, &policies, tenant_id, until, last, PAGE).await?;
        for key in page.0 {
            match key {
                Ok((key, policy)) => plan.add(&key, &policy, now, until),
                Err(_) => n_damaged += 1,
            }
        }
        after = page.1;
    }
    let day =
        |(day, counts): (&chrono::NaiveDate, &Day)| PlannedDay::new(Some(day.to_string()), counts);
    let days = plan.days.iter().map(day).collect();
    let total = PlannedDay::new(None, &plan.total());
    Ok(Json(PlanBody { from: now, until, days, total, n_damaged }))
}

/// A run of a job.
#[derive(Serialize, ToSchema)]
pub(super) struct JobRun {
    job: String,
    /// The daemon that ran it.
    instance: String,
    /// `schedule`, `wake` or `manual`.
    cause: String,
    started_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    /// `running`, `done`, `partial` or `failed`.
    status: String,
    n_examined: u64,
    n_changed: u64,
    n_failed: u64,
    error: Option<String>,
}

impl From<Run> for JobRun {
    fn from(run: Run) -> Self {
        Self {
            job: run.job,
            instance: run.instance,
            cause: run.cause,
            started_at: run.started_at,
            finished_at: run.finished_at,
            status: run.status.as_str().to_owned(),
            n_examined: run.n_examined,
            n_changed: run.n_changed,
            n_failed: run.n_failed,
            error: run.error,
        }
    }
}

/// List the last 100 runs, newest first
#[utoipa::path(get, path = "/v1/jobs/runs", tag = "jobs",
    security(("token" = ["viewer", "operator", "admin", "auditor"])),
    responses((status = 200, body = Page<JobRun>),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn runs(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Read>,
) -> Result<Json<Page<JobRun>>, Problem> {
    caller.everywhere()?;
    let found = runs::recent(api.db()?, None, 100).await?;
    Ok(Json(Page::whole(found.into_iter().map(Into::into).collect())))
}

/// What a run by hand did.
#[derive(Serialize, ToSchema)]
pub(super) struct Triggered {
    job: &'static str,
    /// Whether it has ended; if not, the listing of runs tells when it has.
    has_ended: bool,
    n_examined: u64,
    n_changed: u64,
    n_failed: u64,
}

/// Run a job
///
/// The brake, pauses and leases hold for it as for any run.
#[utoipa::path(post, path = "/v1/jobs/{job}/run", tag = "jobs",
    params(("job" = String, Path, description = "such as `sweep` or `deliver`")),
    security(("token" = ["operator", "admin"])),
    responses((status = 200, body = Triggered),
        (status = 202, description = "it goes on", body = Triggered),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn run(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
    Path(job): Path<String>,
) -> Result<Response, Problem> {
    caller.everywhere()?;
    let job = jobs::find(&job).ok_or_else(|| not_found("job"))?;
    info!(job = job.name, by = caller.actor, "Running a job by hand");
    let runner = api.house()?.runner.clone();
    let run = async move { runner.run(job, Cause::Manual).await }.in_current_span();
    let run = api.shutdown().tracker.spawn(run);
    // Only the wait is given up; the run goes on.
    let Ok(ended) = tokio::time::timeout(PATIENCE, run).await else {
        let (n_examined, n_changed, n_failed) = (0, 0, 0);
        let goes_on =
            Triggered { job: job.name, has_ended: false, n_examined, n_changed, n_failed };
        return Ok((StatusCode::ACCEPTED, Json(goes_on)).into_response());
    };
    let failed = || {
        let detail = "the run failed; the log says why";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).code("run-failed")
    };
    let outcome = ended.map_err(|_| failed())?.map_err(|error| match error {
        RunError::Failed { .. } if error.is_passing() => {
            let detail = "the database is away or busy; try again";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).code("unavailable").retry_after(2)
        }
        RunError::Failed { .. } => failed(),
        refused => Problem::new(StatusCode::CONFLICT, refused.to_string()).code("not-run"),
    })?;
    let done = Triggered {
        job: job.name,
        has_ended: true,
        n_examined: outcome.n_examined,
        n_changed: outcome.n_changed,
        n_failed: outcome.n_failed,
    };
    Ok(Json(done).into_response())
}
