//! Policies: what is in effect and who says so, and a change tried out before it is made.

use axum::{
    extract::{Path, State},
    response::{IntoResponse as _, Redirect, Response},
};
use chrono::TimeDelta;
use maud::{Markup, html};
use secrecy::SecretString;
use serde::Deserialize;

use crate::{
    domain::{
        identity::KeyKind,
        plan::{self, Plan},
        policy::Deed,
        spread::Spread,
    },
    http::{
        admin::{
            Admin, approvals,
            failure::Failure,
            form::{self, Asked, Sent, typed},
            shell,
            visit::Visit,
        },
        v1::{
            auth::{Demand as _, Govern},
            refusal::{malformed, stale},
        },
    },
    store::{
        approvals::{Wanted, set_of},
        environments::{self, Environment},
        policies::{
            EffectiveField,
            change::{self, ChangeError, Edit, Scope},
            shorten,
            simulate::{self, Simulation},
        },
        seen::Tag,
        tenants::{self, Tenant},
    },
};

/// `GET /admin/policies`: whose there are.
pub(super) async fn places(State(admin): State<Admin>, visit: Visit) -> Result<Response, Failure> {
    let db = admin.api.db()?;
    let all = tenants::list(db).await?;
    let all: Vec<Tenant> = all.into_iter().filter(|tenant| visit.caller.sees(tenant.id)).collect();
    let own = visit.caller.narrowed(None)?;
    let below = environments::list(db, own.as_deref()).await?;
    let body = html! {
        section { p { (visit.say("admin-policies-note")) }
            ul { @for tenant in &all { li {
                a href={ "/admin/policies/" (tenant.slug) } { (tenant.slug) }
                ul { @for (_, environment) in below.iter().filter(|(of, _)| of.id == tenant.id) {
                    li { a href={ "/admin/policies/" (tenant.slug) "?environment=" (environment.slug) } { (tenant.slug) "/" (environment.slug) } }
                } }
            } } }
        }
    };
    Ok(shell::of(&visit, &visit.say("admin-policies"), "/admin/policies", &body))
}

/// A change, in the address while it is tried out, and in the form that makes it.
#[derive(Deserialize)]
pub(super) struct Change {
    environment: Option<String>,
    kind: Option<String>,
    field: Option<String>,
    value: Option<String>,
    /// Days of notice for keys that would live too long, if they shall get a sooner date at all.
    notice: Option<String>,
    /// Days over which those dates are spread.
    spread: Option<String>,
    /// The rules as they were when the change was tried out.
    seen: Option<String>,
    /// A code of the visitor's own, where the rules ask for one. In the form alone.
    otp: Option<SecretString>,
}

impl Change {
    /// Days of notice and of spread, as they were typed; `None`: keys keep their dates.
    fn days(&self) -> Result<Option<(u16, u16)>, Failure> {
        let days = |text: &Option<String>| typed(text).map(str::parse::<u16>).transpose();
        let (notice, over) = (days(&self.notice), days(&self.spread));
        let (Ok(notice), Ok(over)) = (notice, over) else {
            return Err(malformed("no number of days").into());
        };
        let Some(notice) = notice else {
            return match over {
                None => Ok(None),
                Some(_) => Err(malformed("new dates need days of notice").into()),
            };
        };
        Ok(Some((notice, over.unwrap_or(0))))
    }

    /// How the change reaches the keys that exist.
    fn spread(&self) -> Result<Option<Spread>, Failure> {
        let spread = self.days()?.map(|(notice, over)| Spread::new(notice, over)).transpose();
        spread.map_err(|error| malformed(error.to_string()).into())
    }

    fn kind(&self) -> Result<Option<KeyKind>, Failure> {
        let kind = typed(&self.kind).map(str::parse).transpose();
        kind.map_err(|_| malformed("no such kind").into())
    }

    /// The change itself, if one was asked for.
    fn edit(&self) -> Result<Option<Edit>, Failure> {
        let Some((field, value)) = typed(&self.field).zip(typed(&self.value)) else {
            return Ok(None);
        };
        let edit = format!("{field}={value}").parse();
        edit.map(Some).map_err(|error: change::NoEdit| malformed(error.to_string()).into())
    }
}

async fn place(
    admin: &Admin,
    visit: &Visit,
    tenant: &str,
    change: &Change,
) -> Result<(Tenant, Option<Environment>), Failure> {
    let tenant = visit.caller.tenant(&admin.api, tenant).await?;
    let environment = match typed(&change.environment) {
        Some(slug) => Some(visit.caller.environment(&admin.api, &tenant, slug).await?),
        None => None,
    };
    Ok((tenant, environment))
}

/// `GET /admin/policies/{tenant}`; with a change, also what it would do.
pub(super) async fn show(
    State(admin): State<Admin>,
    visit: Visit,
    Path(tenant): Path<String>,
    Asked(asked): Asked<Change>,
) -> Result<Response, Failure> {
    let (tenant, environment) = place(&admin, &visit, &tenant, &asked).await?;
    let book = admin.api.policies().await?;
    // No environment has the number 0.
    let environment_id = environment.as_ref().map_or(0, |environment| environment.id);
    let of = |kind: &KeyKind| book.effective(tenant.id, environment_id, *kind);
    let effective: Vec<_> = KeyKind::ALL.iter().map(of).collect();
    let scope = Scope {
        tenant: &tenant,
        environment: environment.as_ref(),
        kind: asked.kind()?,
        key: None,
    };
    let seen = Tag::of(&scope.effective(&book));
    let needs_otp = scope.any(&book, |policy| policy.needs_otp(Deed::Policy));
    let spread = asked.spread()?;
    let tried = match asked.edit()? {
        None => None,
        Some(edit) => {
            let (db, base) = (admin.api.db()?, admin.api.base()?);
            let (new, _) = change::preview(db.conn(), &base, &scope, &[edit]).await?;
            let until = plan::until(admin.api.now().await?, TimeDelta::days(30));
            Some(simulate::simulate(db, (&book, &new), &scope, until, spread.as_ref()).await?)
        }
    };
    let title = match &environment {
        Some(environment) => format!("{}/{}", tenant.slug, environment.slug),
        None => tenant.slug.clone(),
    };
    let path = format!("/admin/policies/{}", tenant.slug);
    let body = html! {
        section { h2 { (visit.say("admin-in-effect")) } (table(&visit, &effective)) }
        section #try {
            h2 { (visit.say("admin-try")) }
            p { (visit.say("admin-try-note")) }
            form.filters method="get" action={ (path) } {
                (hidden("environment", &asked.environment))
                (fields(&visit, &asked, effective.first()))
                button { (visit.say("admin-try")) }
            }
            @if let Some(found) = &tried { (outcome(&visit, found, spread.as_ref())) }
            @if tried.is_some() && visit.may(Govern::ROLES) {
                form method="post" action={ (path) } {
                    (shell::secret(&visit))
                    (hidden("environment", &asked.environment)) (hidden("kind", &asked.kind))
                    (hidden("field", &asked.field)) (hidden("value", &asked.value))
                    (hidden("notice", &asked.notice)) (hidden("spread", &asked.spread))
                    input type="hidden" name="seen" value=(seen);
                    @if needs_otp { (form::code_field(&visit, "otp")) }
                    button { (visit.say("admin-apply")) }
                }
            }
        }
    };
    Ok(shell::of(&visit, &title, "/admin/policies", &body))
}

fn hidden(name: &str, value: &Option<String>) -> Markup {
    html! { @if let Some(value) = typed(value) { input type="hidden" name=(name) value=(value); } }
}

fn fields(visit: &Visit, asked: &Change, some: Option<&Vec<EffectiveField>>) -> Markup {
    let names: Vec<_> =
        some.into_iter().flatten().map(|field| (field.field, field.field.to_owned())).collect();
    let kinds = ["", "user", "application", "service"].map(|word| match word {
        "" => (word, visit.say("admin-any")),
        word => (word, word.to_owned()),
    });
    html! {
        (form::choice("field", &visit.say("admin-field"), typed(&asked.field), &names))
        (form::text("value", &visit.say("admin-value"), typed(&asked.value)))
        (form::choice("kind", &visit.say("admin-kind"), typed(&asked.kind), &kinds))
        (form::text("notice", &visit.say("admin-notice-days"), typed(&asked.notice)))
        (form::text("spread", &visit.say("admin-spread-days"), typed(&asked.spread)))
    }
}

/// A value as people write it.
pub(super) fn shown(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(word) => word.clone(),
        serde_json::Value::Array(all) if all.is_empty() => "none".to_owned(),
        serde_json::Value::Array(all) => all.iter().map(shown).collect::<Vec<_>>().join(", "),
        value => value.to_string(),
    }
}

fn table(visit: &Visit, effective: &[Vec<EffectiveField>]) -> Markup {
    let rows = effective.first().map_or(0, Vec::len);
    html! {
        div.wide tabindex="0" role="region" aria-label=(visit.say("admin-in-effect")) { table {
            thead { tr {
                th scope="col" { (visit.say("admin-field")) }
                @for kind in KeyKind::ALL { th scope="col" { (kind) } }
            } }
            tbody { @for row in 0..rows { tr {
                th scope="row" { (effective[0][row].field) }
                @for fields in effective { @if let Some(field) = fields.get(row) {
                    td { (shown(&field.value)) br; span.soft { (visit.say(&format!("admin-origin-{}", field.origin))) } }
                } }
            } } }
        } }
    }
}

fn outcome(visit: &Visit, found: &Simulation, spread: Option<&Spread>) -> Markup {
    let total = |plan: &Plan| plan.total();
    let (before, after) = (total(&found.before), total(&found.after));
    let rows = [
        ("admin-sim-notices", before.n_notices, after.n_notices),
        ("admin-sim-expired", before.n_expired, after.n_expired),
        ("admin-sim-suspended", before.n_suspended, after.n_suspended),
        ("admin-sim-purged", before.n_purged, after.n_purged),
    ];
    html! {
        table.plain {
            caption { (visit.say("admin-sim-days")) }
            thead { tr { td {} th.n scope="col" { (visit.say("admin-before")) } th.n scope="col" { (visit.say("admin-after")) } } }
            tbody { @for (id, before, after) in rows { tr { th scope="row" { (visit.say(id)) } td.n { (before) } td.n { (after) } } } }
        }
        ul {
            li { (shell::count(visit, "admin-sim-keys", found.n_keys)) }
            li { (shell::count(visit, "admin-sim-next", found.n_other_next)) }
            li { (shell::count(visit, "admin-sim-window", found.n_other_window)) }
            @if spread.is_none() { li { (shell::count(visit, "admin-sim-long", found.n_too_long)) } }
            @else {
                li {
                    (shell::count(visit, "admin-sim-shortened", found.n_shortened))
                    @if let Some(first) = found.first_end { " " (shell::at(first)) }
                }
            }
        }
    }
}

/// `POST /admin/policies/{tenant}`: makes the change that was tried out, and does to the keys that
/// exist what was shown. Nothing is changed if the rules are not those it was tried out on.
pub(super) async fn apply(
    State(admin): State<Admin>,
    visit: Visit,
    Path(tenant): Path<String>,
    Sent(sent): Sent<Change>,
) -> Result<Response, Failure> {
    let edit = sent.edit()?.ok_or_else(|| malformed("no field and no value"))?;
    let (tenant, environment) = place(&admin, &visit, &tenant, &sent).await?;
    let scope =
        Scope { tenant: &tenant, environment: environment.as_ref(), kind: sent.kind()?, key: None };
    let (spread, code) = (sent.spread()?, form::code(&sent.otp)?);
    let seen = typed(&sent.seen).ok_or_else(|| malformed("try the change out first"))?;
    let present = Tag::of(&scope.effective(&admin.api.policies().await?));
    if present.to_string() != seen {
        return Err(stale().into());
    }
    let (db, base, actor) = (admin.api.db()?, admin.api.base()?, &visit.caller.actor);
    let who = visit.caller.who(admin.api.house()?, code.as_ref());
    let edits = [edit];
    let book = match change::set_if(db, who, &base, (&scope, Some(&present)), &edits).await {
        Err(ChangeError::Second(second)) => {
            let wanted = Wanted::ChangePolicy {
                tenant: tenant.slug.clone(),
                environment: environment.as_ref().map(|environment| environment.slug.clone()),
                kind: sent.kind()?.map(|kind| kind.to_string()),
                key: None,
                set: set_of(&edits),
                spread: sent.days()?,
                seen: present.to_string(),
            };
            let filed = visit.caller.file(&admin.api, code.as_ref(), &wanted, second).await?;
            return Ok(approvals::to(&filed));
        }
        done => done?,
    };
    simulate::reschedule(db, &book, &scope).await?;
    if let Some(spread) = spread {
        shorten(db, actor, &book, &scope, &spread).await?;
    }
    let path = format!("/admin/policies/{}", tenant.slug);
    let to = form::address(&path, &[("environment", typed(&sent.environment))]);
    Ok(Redirect::to(&to).into_response())
}
