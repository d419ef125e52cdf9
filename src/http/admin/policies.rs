//! Policies: what is in effect and who says so, and a change tried out before it is made.

use axum::{
    extract::{Path, State},
    response::{IntoResponse as _, Redirect, Response},
};
use chrono::TimeDelta;
use maud::{Markup, html};
use serde::Deserialize;

use crate::{
    domain::{
        identity::KeyKind,
        plan::{self, Plan},
    },
    http::{
        admin::{
            Admin,
            failure::Failure,
            form::{self, Asked, Sent, typed},
            shell,
            visit::Visit,
        },
        v1::{
            auth::{Demand as _, Govern},
            refusal::malformed,
        },
    },
    store::{
        environments::{self, Environment},
        policies::{
            EffectiveField,
            change::{self, Edit, Scope},
            simulate::{self, Simulation},
        },
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
}

impl Change {
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
    let tried = match asked.edit()? {
        None => None,
        Some(edit) => {
            let (db, base) = (admin.api.db()?, admin.api.base()?);
            let kind = asked.kind()?;
            let scope = Scope { tenant: &tenant, environment: environment.as_ref(), kind };
            let (new, _) = change::preview(db.conn(), &base, &scope, &[edit]).await?;
            let until = plan::until(admin.api.now().await?, TimeDelta::days(30));
            Some(simulate::simulate(db, (&book, &new), &scope, until, None).await?)
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
            @if let Some(found) = &tried { (outcome(&visit, found)) }
            @if tried.is_some() && visit.may(Govern::ROLES) {
                form method="post" action={ (path) } {
                    (shell::secret(&visit))
                    (hidden("environment", &asked.environment)) (hidden("kind", &asked.kind))
                    (hidden("field", &asked.field)) (hidden("value", &asked.value))
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
                    td { (field.value) br; span.soft { (visit.say(&format!("admin-origin-{}", field.origin))) } }
                } }
            } } }
        } }
    }
}

fn outcome(visit: &Visit, found: &Simulation) -> Markup {
    let total = |plan: &Plan| plan.total();
    let (before, after) = (total(&found.before), total(&found.after));
    let rows = [
        ("admin-sim-notices", before.n_notices, after.n_notices),
        ("admin-sim-expired", before.n_expired, after.n_expired),
        ("admin-sim-purged", before.n_purged, after.n_purged),
    ];
    html! {
        table {
            caption { (visit.say("admin-sim-days")) }
            thead { tr { td {} th.n scope="col" { (visit.say("admin-before")) } th.n scope="col" { (visit.say("admin-after")) } } }
            tbody { @for (id, before, after) in rows { tr { th scope="row" { (visit.say(id)) } td.n { (before) } td.n { (after) } } } }
        }
        ul {
            li { (shell::count(visit, "admin-sim-keys", found.n_keys)) }
            li { (shell::count(visit, "admin-sim-next", found.n_other_next)) }
            li { (shell::count(visit, "admin-sim-window", found.n_other_window)) }
            li { (shell::count(visit, "admin-sim-long", found.n_too_long)) }
        }
    }
}

/// `POST /admin/policies/{tenant}`: makes the change that was tried out.
pub(super) async fn apply(
    State(admin): State<Admin>,
    visit: Visit,
    Path(tenant): Path<String>,
    Sent(sent): Sent<Change>,
) -> Result<Response, Failure> {
    let edit = sent.edit()?.ok_or_else(|| malformed("no field and no value"))?;
    let (tenant, environment) = place(&admin, &visit, &tenant, &sent).await?;
    let scope = Scope { tenant: &tenant, environment: environment.as_ref(), kind: sent.kind()? };
    let (db, base) = (admin.api.db()?, admin.api.base()?);
    let book = change::set(db, &visit.caller.actor, &base, &scope, &[edit]).await?;
    simulate::reschedule(db, &book, &scope).await?;
    let path = format!("/admin/policies/{}", tenant.slug);
    let to = form::address(&path, &[("environment", typed(&sent.environment))]);
    Ok(Redirect::to(&to).into_response())
}
