//! What has happened to a key: the trail and the notices as one story.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::store::{
    NoticeStatus,
    history::{Event, NoticeView},
};

/// A line of a key's history.
#[derive(Debug, Serialize)]
pub struct Line {
    /// When.
    pub at: DateTime<Utc>,
    /// Such as `key.extended`, or `notice expiring-7d told`.
    pub what: String,
    /// Who did it, or who was told.
    pub who: String,
    /// Before, after and why; the mail server's last words.
    pub detail: String,
}

/// Puts both stories into one, in order.
pub(super) fn lines(events: Vec<Event>, notices: Vec<NoticeView>) -> Vec<Line> {
    let mut lines: Vec<Line> = events.into_iter().map(of_event).collect();
    lines.extend(notices.into_iter().map(of_notice));
    // Stable: what happened in one instant stays in the order it was written.
    lines.sort_by_key(|line| line.at);
    lines
}

fn of_event(event: Event) -> Line {
    let detail = if event.detail == "{}" { String::new() } else { event.detail };
    Line { at: event.at, what: event.action, who: event.actor, detail }
}

fn of_notice(notice: NoticeView) -> Line {
    let mut detail = notice.reason.unwrap_or_default();
    if notice.status == NoticeStatus::Muted {
        detail += "its owner does not want to be told so early";
    }
    if let Some(message) = notice.message {
        if !detail.is_empty() {
            detail += "; ";
        }
        let (status, n_attempts) = (message.status.as_str(), message.n_attempts);
        detail += &format!("message {status} after {n_attempts} attempts");
        if let Some(reply) = message.last_reply {
            detail += &format!(", last reply \"{reply}\"");
        }
    }
    let what = match notice.status {
        NoticeStatus::Pending | NoticeStatus::Queued => "waits",
        status => status.as_str(),
    };
    Line {
        at: notice.told_at.unwrap_or(notice.due_at),
        what: format!("notice {} {what}", notice.stage),
        who: notice.email.unwrap_or_else(|| "owner".to_owned()),
        detail,
    }
}
