//! The schema's version: bringing it up to date, once, though several daemons start together.

use migrations::Migrator;
use sea_orm::{ConnectionTrait, Statement, TransactionTrait};
use sea_orm_migration::MigratorTrait;

use crate::store::{Db, Engine, StoreError, connect::MARIADB_SESSION};

/// What PostgreSQL's advisory lock is called: "lapsed" in ASCII.
const LOCK: i64 = 0x6c61_7073_6564;

/// How the database's schema stands to this program's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// They are the same.
    Current,
    /// So many migrations have to be applied.
    Behind {
        /// How many.
        n_pending: usize,
    },
    /// A newer `lapsed` has been here. This one must not touch it.
    Ahead {
        /// The first migration this program does not know.
        unknown: String,
    },
}

impl Db {
    /// Compares the database's schema with this program's.
    ///
    /// # Errors
    /// As the database answers.
    pub async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        let applied = self.applied().await?;
        let known: Vec<String> =
            Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
        if let Some(unknown) = applied.iter().find(|name| !known.contains(name)) {
            return Ok(SchemaState::Ahead { unknown: unknown.clone() });
        }
        let n_pending = known.iter().filter(|name| !applied.contains(name)).count();
        Ok(if n_pending == 0 { SchemaState::Current } else { SchemaState::Behind { n_pending } })
    }

    /// The names of the migrations that have been applied; none if the table is not there yet.
    async fn applied(&self) -> Result<Vec<String>, StoreError> {
        let backend = self.conn().get_database_backend();
        let exists = match self.engine() {
            Engine::Sqlite => {
                "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'seaql_migrations'"
            }
            Engine::Postgres => {
                "SELECT COUNT(*) FROM pg_tables WHERE schemaname = current_schema() \
                 AND tablename = 'seaql_migrations'"
            }
            Engine::MariaDb => {
                "SELECT COUNT(*) FROM information_schema.tables \
                 WHERE table_schema = DATABASE() AND table_name = 'seaql_migrations'"
            }
        };
        let during = || StoreError::during("read the schema's version");
        let row = self.conn().query_one_raw(Statement::from_string(backend, exists)).await;
        let count = row.map_err(during())?.map(|row| row.try_get_by_index::<i64>(0));
        if !matches!(count, Some(Ok(1..))) {
            return Ok(Vec::new());
        }
        let names = Statement::from_string(backend, "SELECT version FROM seaql_migrations");
        let rows = self.conn().query_all_raw(names).await.map_err(during())?;
        let names: Result<_, _> =
            rows.iter().map(|row| row.try_get_by_index::<String>(0)).collect();
        names.map_err(during())
    }

    /// Applies what is missing. Of several daemons that start together one does it, and the
    /// others wait and find it done.
    ///
    /// # Errors
    /// As the database answers; the migration that failed is undone where the engine can do that.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        if self.schema_state().await? == SchemaState::Current {
            return Ok(());
        }
        let during = || StoreError::during("migrate the database");
        match self.engine() {
            Engine::Sqlite => {
                let tx = self.begin().await?;
                Migrator::up(&*tx, None).await.map_err(during())?;
                tx.commit().await
            }
            Engine::Postgres => {
                let tx = self.conn().begin().await.map_err(during())?;
                // Held until the transaction ends, whichever way. Waiting for it may take longer
                // than a lock usually may.
                let wait = "SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0; \
                            SET LOCAL idle_in_transaction_session_timeout = 0";
                tx.execute_unprepared(wait).await.map_err(during())?;
                let lock = format!("SELECT pg_advisory_xact_lock({LOCK})");
                tx.execute_unprepared(&lock).await.map_err(during())?;
                Migrator::up(&tx, None).await.map_err(during())?;
                tx.commit().await.map_err(during())
            }
            Engine::MariaDb => {
                // Its schema changes commit by themselves, so the lock belongs to the connection,
                // which the open transaction keeps for us.
                let tx = self.conn().begin().await.map_err(during())?;
                // While others migrate, this one waits longer than it usually may.
                let patience = "SET SESSION innodb_lock_wait_timeout = 5 \
                    /*M! , max_statement_time = 0, idle_transaction_timeout = 0 */";
                tx.execute_unprepared(patience).await.map_err(during())?;
                let lock = "SELECT GET_LOCK(CONCAT('lapsed.', DATABASE()), 600)";
                tx.execute_unprepared(lock).await.map_err(during())?;
                let done = Migrator::up(self.conn(), None).await.map_err(during());
                let unlock = "SELECT RELEASE_LOCK(CONCAT('lapsed.', DATABASE()))";
                tx.execute_unprepared(unlock).await.map_err(during())?;
                tx.execute_unprepared(MARIADB_SESSION).await.map_err(during())?;
                tx.commit().await.map_err(during())?;
                done
            }
        }
    }
}
