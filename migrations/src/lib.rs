//! The schema of `lapsed`, for SQLite, PostgreSQL and MariaDB/MySQL from one source.
//!
//! Times are UTC epoch milliseconds in `BIGINT`; enumerations are `SMALLINT` codes, which the
//! store room names. A migration that has landed is never edited: add a file, and a line below.

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;

mod columns;
mod m20261123_000001_people;
mod m20261123_000002_keys;
mod m20261123_000003_outbox;
mod m20261123_000004_upkeep;
mod m20261123_000005_otp;
mod m20261123_000006_seals;
mod m20261123_000007_links;
mod m20261127_000008_undo;
mod m20261127_000010_sessions;
mod m20261127_000012_peppers;
mod m20261127_000014_suspend;
mod m20261129_000015_end_reason;
mod m20261129_000016_key_policies;
mod m20261129_000017_wishes;
mod m20261129_000018_policy_fields;
mod m20261129_000019_approvals;
mod m20261129_000021_lost;
mod m20261129_000022_wishers;

/// All migrations, in the order in which they are applied.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_people::Migration),
            Box::new(m20261123_000002_keys::Migration),
            Box::new(m20261123_000003_outbox::Migration),
            Box::new(m20261123_000004_upkeep::Migration),
            Box::new(m20261123_000005_otp::Migration),
            Box::new(m20261123_000006_seals::Migration),
            Box::new(m20261123_000007_links::Migration),
            Box::new(m20261127_000008_undo::Migration),
            Box::new(m20261127_000010_sessions::Migration),
            Box::new(m20261127_000012_peppers::Migration),
            Box::new(m20261127_000014_suspend::Migration),
            Box::new(m20261129_000015_end_reason::Migration),
            Box::new(m20261129_000016_key_policies::Migration),
            Box::new(m20261129_000017_wishes::Migration),
            Box::new(m20261129_000018_policy_fields::Migration),
            Box::new(m20261129_000019_approvals::Migration),
            Box::new(m20261129_000021_lost::Migration),
            Box::new(m20261129_000022_wishers::Migration),
        ]
    }
}
