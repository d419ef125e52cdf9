//! A made-up fleet: two tenants, employees, a contractor, applications, and one address that is
//! none.

use anyhow::Context as _;
use chrono::TimeDelta;

use crate::{
    demo::beginning,
    domain::{
        identity::{KeyKind, OwnerKind},
        token::Class,
    },
    random,
    store::{
        Db,
        environments::{self, NewEnvironment},
        import::{ImportRow, Importer, Options},
        policies::PolicyBook,
        tenants,
    },
};

/// One key: tenant, environment, owner, key, and its days before and after the beginning.
struct Line {
    tenant: &'static str,
    environment: &'static str,
    owner: (&'static str, &'static str, OwnerKind),
    name: &'static str,
    kind: KeyKind,
    /// Days since it was made.
    age: i64,
    /// Days until it expires; `None` is never.
    left: Option<i64>,
}

const ADA: (&str, &str, OwnerKind) = ("ada@acme.example", "Ada Park", OwnerKind::Employee);
const BEN: (&str, &str, OwnerKind) = ("ben@acme.example", "Ben Okafor", OwnerKind::Employee);
const CLEO: (&str, &str, OwnerKind) = ("cleo@studio.example", "Cleo Marsh", OwnerKind::Contractor);
const BILLING: (&str, &str, OwnerKind) =
    ("billing-team@acme.example", "Billing", OwnerKind::Application);
const DINA: (&str, &str, OwnerKind) = ("dina@globex.example", "Dina Ruiz", OwnerKind::Employee);
const LOST: (&str, &str, OwnerKind) = ("left the company", "Emil Voss", OwnerKind::Employee);

/// When the contractor's access ends, in days from the beginning.
const CONTRACT_ENDS: i64 = 21;

#[rustfmt::skip]
const FLEET: &[Line] = &[
    key("acme", "production", ADA, "deploy-bot", 60, 30),
    key("acme", "production", ADA, "metrics-export", 83, 7),
    key("acme", "staging", ADA, "load-test", 7, 7),
    key("acme", "production", BEN, "backup-upload", 89, 1),
    key("acme", "production", BEN, "pager-bridge", 59, 31),
    key("acme", "production", CLEO, "design-sync", 20, 70),
    key("acme", "production", CLEO, "asset-upload", 75, 15),
    Line {
        tenant: "acme", environment: "production", owner: BILLING, name: "invoice-worker",
        kind: KeyKind::Application, age: 400, left: None,
    },
    Line {
        tenant: "acme", environment: "production", owner: BILLING, name: "ledger-reader",
        kind: KeyKind::Application, age: 325, left: Some(40),
    },
    key("globex", "production", DINA, "crm-import", 80, 10),
    key("globex", "production", DINA, "report-mailer", 50, 40),
    key("globex", "production", LOST, "old-dashboard", 85, 5),
];

const fn key(
    tenant: &'static str,
    environment: &'static str,
    owner: (&'static str, &'static str, OwnerKind),
    name: &'static str,
    age: i64,
    left: i64,
) -> Line {
    Line { tenant, environment, owner, name, kind: KeyKind::User, age, left: Some(left) }
}

/// Fills `db`, as an import of existing keys would.
pub(super) async fn fill(db: &Db, book: &PolicyBook) -> anyhow::Result<()> {
    for (slug, name, contact) in
        [("acme", "Acme", "it@acme.example"), ("globex", "Globex", "security@globex.example")]
    {
        let contacts = [contact.to_owned()];
        let tenant = tenants::add(db, "demo", &slug.parse()?, &name.parse()?, &contacts).await?;
        for (slug, name, class) in
            [("production", "Production", Class::Live), ("staging", "Staging", Class::Test)]
        {
            let contacts = Vec::new();
            let new = NewEnvironment { slug: slug.parse()?, name: name.parse()?, class, contacts };
            environments::add(db, "demo", &tenant, &new).await?;
        }
    }
    let options = Options {
        source: "demo".to_owned(),
        actor: "demo".to_owned(),
        may_create: true,
        has_baseline: true,
        may_update: false,
        is_dry_run: false,
    };
    let rows: Vec<_> = FLEET.iter().map(row).collect::<anyhow::Result<_>>()?;
    let refused = Importer::new(db, book, options).write(&rows).await?;
    anyhow::ensure!(refused.is_empty(), "the fleet has rows that cannot be: {refused:?}");
    Ok(())
}

fn row(line: &Line) -> anyhow::Result<ImportRow> {
    let (email, name, kind) = line.owner;
    let contract_ends = beginning() + TimeDelta::days(CONTRACT_ENDS);
    Ok(ImportRow {
        public_id: random::public_id()?,
        owner_id: random::public_id()?,
        tenant: line.tenant.parse().context("read the tenant")?,
        environment: line.environment.parse().context("read the environment")?,
        owner: email.to_owned(),
        owner_kind: kind,
        owner_name: name.parse().context("read the owner's name")?,
        access_ends_at: (kind == OwnerKind::Contractor).then_some(contract_ends),
        name: line.name.parse().context("read the key's name")?,
        kind: line.kind,
        created_at: Some(beginning() - TimeDelta::days(line.age)),
        expires_at: line.left.map(|left| beginning() + TimeDelta::days(left)),
        secret: None,
        external_id: line.name.to_owned(),
        is_derived: false,
    })
}
