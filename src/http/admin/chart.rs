//! Numbers by day as a picture, and the same numbers as a table for whoever does not see it.

use chrono::{Days, NaiveDate};
use maud::{Markup, html};

use crate::http::admin::{shell, visit::Visit};

const BAR: usize = 8;
const HEIGHT: u64 = 120;
/// Room above the bars, for the greatest number.
const TOP: i64 = 24;

/// Draws what expires on each day from `first` on.
pub(super) fn expiries(visit: &Visit, first: NaiveDate, counts: &[u64]) -> Markup {
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let day = |n: usize| first.checked_add_days(Days::new(n as u64)).unwrap_or(first);
    let total: u64 = counts.iter().sum();
    let title = shell::count(visit, "admin-chart-sum", total);
    let full: Vec<_> = counts.iter().enumerate().filter(|(_, n)| **n > 0).collect();
    html! {
        p { (title) }
        svg.chart role="img" aria-label=(title) viewBox={ "0 " (-TOP) " " (counts.len() * BAR) " " (HEIGHT + TOP.unsigned_abs() + 24) } {
            text x="0" y="-6" { (most) }
            @for (nth, week) in (0..counts.len()).step_by(14).enumerate() {
                text.odd[nth % 2 == 1] x=(week * BAR) y=(HEIGHT + 19) { (day(week).format("%m-%d")) }
            }
            @for (n, count) in &full {
                @let height = (**count * HEIGHT / most).max(2);
                rect x=(n * BAR) y=(HEIGHT - height) width=(BAR - 2) height=(height) {
                    title { (day(*n)) ": " (count) }
                }
            }
            line x1="0" y1=(HEIGHT) x2=(counts.len() * BAR) y2=(HEIGHT) {}
        }
        details {
            summary { (visit.say("admin-as-table")) }
            table {
                thead { tr { th scope="col" { (visit.say("admin-day")) } th.n scope="col" { (visit.say("admin-keys")) } } }
                tbody { @for (n, count) in &full { tr {
                    td { a href={ "/admin/keys?day=" (day(*n)) } { (day(*n)) } }
                    td.n { (count) }
                } } }
            }
        }
    }
}
