//! What the rooms below refuse, as problems: a status, a word for programs, and one sentence.
//!
//! What went wrong inside is logged, and not told.

use axum::http::StatusCode;
use tracing::{error, warn};

use crate::{
    domain::{
        approval::{ApprovalState, Undecidable},
        rotation::Refusal,
        suspension::SuspensionError,
    },
    http::problem::Problem,
    issue::IssueError,
    random::NoRandomness,
    store::{
        StoreError,
        access::{AccessError, UndoError},
        approvals::ApprovalError,
        keys::KeyError,
        otp::OtpError,
        policies::change::ChangeError,
        rotation::RotationError,
        second::NeedsSecond,
    },
};

/// Something is wrong that is no business of the caller's.
fn internal(error: impl Into<anyhow::Error>) -> Problem {
    error!("Failed to answer a request: {:#}", error.into());
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong; the log says what")
        .code("internal")
}

/// There is no such thing, or it is not the caller's to see.
pub(in crate::http) fn not_found(what: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is no such {what}")).code("not-found")
}

/// It is not any more as the caller saw it.
pub(in crate::http) fn stale() -> Problem {
    let detail = "it has been changed since it was read; read it again";
    Problem::new(StatusCode::PRECONDITION_FAILED, detail).code("stale")
}

/// The request makes no sense; `detail` names the field.
pub(in crate::http) fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail).code("malformed")
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. }
            | StoreError::Busy { .. }
            | StoreError::Unwritable { .. } => {
                warn!("Failed to answer a request: {:#}", anyhow::Error::from(error));
                let detail = "the database is away or busy; try again";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
                    .code("unavailable")
                    .retry_after(2)
            }
            StoreError::Stale => stale(),
            StoreError::Taken { .. } => {
                Self::new(StatusCode::CONFLICT, "there is one already").code("taken")
            }
            error => internal(error),
        }
    }
}

impl From<NoRandomness> for Problem {
    fn from(error: NoRandomness) -> Self {
        internal(error)
    }
}

impl From<crate::qr::QrError> for Problem {
    fn from(error: crate::qr::QrError) -> Self {
        internal(error)
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        let detail = error.to_string();
        let (status, code) = match error {
            KeyError::Life(_) | KeyError::TooMany { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, "policy-violation")
            }
            KeyError::NoKey(_) => (StatusCode::NOT_FOUND, "not-found"),
            KeyError::NoOwner => (StatusCode::NOT_FOUND, "not-found"),
            KeyError::Expired(_) => (StatusCode::CONFLICT, "key-expired"),
            KeyError::Revoked => (StatusCode::CONFLICT, "key-revoked"),
            KeyError::Suspension(SuspensionError::Revoked) => (StatusCode::CONFLICT, "key-revoked"),
            KeyError::Suspension(SuspensionError::Not) => (StatusCode::CONFLICT, "not-suspended"),
            KeyError::Suspension(SuspensionError::NotTheirs) => {
                (StatusCode::FORBIDDEN, "forbidden")
            }
            KeyError::Suspension(
                SuspensionError::Already | SuspensionError::LiftedSince { .. },
            ) => (StatusCode::CONFLICT, "key-suspended"),
            KeyError::NotAwaited(_) => (StatusCode::CONFLICT, "not-awaited"),
            KeyError::Stale => (StatusCode::PRECONDITION_FAILED, "stale"),
            KeyError::Otp(error) => return of_caller(error),
            KeyError::Second(error) => return alone(&error),
            KeyError::Once(_) => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-mismatch"),
            KeyError::Store(error) => return error.into(),
            KeyError::Corrupt(error) => return internal(error),
        };
        Self::new(status, detail).code(code)
    }
}

impl From<IssueError> for Problem {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Random(error) => error.into(),
            IssueError::Key(error) => error.into(),
        }
    }
}

impl From<RotationError> for Problem {
    fn from(error: RotationError) -> Self {
        let detail = error.to_string();
        let (status, code) = match error {
            RotationError::Refused(Refusal::Revoked) => (StatusCode::CONFLICT, "key-revoked"),
            RotationError::Refused(Refusal::Suspended) => (StatusCode::CONFLICT, "key-suspended"),
            RotationError::Refused(Refusal::WindowClosed { .. }) => {
                (StatusCode::GONE, "window-closed")
            }
            RotationError::Refused(Refusal::Life(_)) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "policy-violation")
            }
            RotationError::NoKey(_) => (StatusCode::NOT_FOUND, "not-found"),
            RotationError::Conflict => (StatusCode::CONFLICT, "rotation-in-progress"),
            RotationError::NotReissuable => (StatusCode::CONFLICT, "not-reissuable"),
            RotationError::NoOverlap => (StatusCode::CONFLICT, "no-overlap"),
            RotationError::Mismatch => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-mismatch"),
            RotationError::Otp(error) => return error.into(),
            RotationError::Store(error) => return error.into(),
            RotationError::Corrupt(error) => return internal(error),
        };
        Self::new(status, detail).code(code)
    }
}

impl From<OtpError> for Problem {
    fn from(error: OtpError) -> Self {
        let detail = error.to_string();
        let (status, code) = match error {
            OtpError::Required => (StatusCode::FORBIDDEN, "otp-required"),
            OtpError::NotEnrolled => (StatusCode::FORBIDDEN, "mfa-enrolment-required"),
            OtpError::AlreadyEnrolled => (StatusCode::CONFLICT, "already-enrolled"),
            OtpError::Invalid => (StatusCode::FORBIDDEN, "otp-invalid"),
            OtpError::Replayed => (StatusCode::FORBIDDEN, "otp-replayed"),
            OtpError::Wait { .. } => (StatusCode::TOO_MANY_REQUESTS, "otp-locked"),
            OtpError::Stopped => (StatusCode::FORBIDDEN, "otp-stopped"),
            OtpError::Held { .. } => (StatusCode::FORBIDDEN, "otp-held"),
            OtpError::NoOwner => (StatusCode::NOT_FOUND, "not-found"),
            OtpError::Second(error) => return alone(&error),
            OtpError::Store(error) => return error.into(),
            OtpError::Seal(error) => return internal(error),
        };
        let problem = Self::new(status, detail).code(code);
        // The shortest wait there is; the detail names the instant.
        if status == StatusCode::TOO_MANY_REQUESTS { problem.retry_after(30) } else { problem }
    }
}

/// One administrator does not do it alone. Doors that can file a request do that instead.
fn alone(error: &NeedsSecond) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, error.to_string()).code("approval-required")
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Second(error) => alone(&error),
            AccessError::Store(error) => error.into(),
        }
    }
}

impl From<ApprovalError> for Problem {
    fn from(error: ApprovalError) -> Self {
        let detail = error.to_string();
        let (status, code) = match error {
            ApprovalError::NoRequest(_) => return not_found("request"),
            ApprovalError::Undecidable(Undecidable::Over(ApprovalState::Expired)) => {
                (StatusCode::GONE, "approval-expired")
            }
            ApprovalError::Undecidable(Undecidable::Over(_)) => {
                (StatusCode::CONFLICT, "approval-decided")
            }
            ApprovalError::Undecidable(Undecidable::SamePerson) => {
                (StatusCode::FORBIDDEN, "same-person")
            }
            ApprovalError::Nobody => (StatusCode::FORBIDDEN, "owner-required"),
            ApprovalError::Void(_) => (StatusCode::CONFLICT, "approval-void"),
            ApprovalError::Otp(error) => return of_caller(error),
            ApprovalError::Store(error) => return error.into(),
        };
        Self::new(status, detail).code(code)
    }
}

/// What is wrong with the caller's own second factor, as distinct from that of a key's owner.
fn of_caller(error: OtpError) -> Problem {
    let mut problem = Problem::from(error);
    if problem.status.is_client_error() {
        problem.detail = format!("the owner of your token: {}", problem.detail);
    }
    problem
}

impl From<UndoError> for Problem {
    fn from(error: UndoError) -> Self {
        let detail = error.to_string();
        let (status, code) = match error {
            UndoError::Nothing => (StatusCode::CONFLICT, "nothing-to-undo"),
            UndoError::Late { .. } => (StatusCode::GONE, "too-late"),
            UndoError::Store(error) => return error.into(),
        };
        Self::new(status, detail).code(code)
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Store(error) => error.into(),
            ChangeError::Otp(error) => of_caller(error),
            ChangeError::Second(error) => alone(&error),
            error => Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
                .code("policy-violation"),
        }
    }
}
