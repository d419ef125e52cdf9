//! One run of a job.

use sea_orm::entity::prelude::*;

/// A row of `job_runs`; the columns are explained in the migrations.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "job_runs")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) job: String,
    pub(crate) instance: String,
    pub(crate) cause: String,
    pub(crate) started_at: i64,
    pub(crate) finished_at: Option<i64>,
    pub(crate) status: i16,
    pub(crate) n_examined: i64,
    pub(crate) n_changed: i64,
    pub(crate) n_failed: i64,
    pub(crate) error: Option<String>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
