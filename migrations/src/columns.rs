//! The few kinds of columns there are, and what the engines do not agree on.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

/// The surrogate id of a row.
pub(crate) fn id() -> ColumnDef {
    ColumnDef::new("id").big_integer().not_null().auto_increment().primary_key().take()
}

/// A whole number: a reference, an instant in epoch milliseconds, a length in milliseconds.
pub(crate) fn number(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

/// A [`number`] that may be absent.
pub(crate) fn maybe_number(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().null().take()
}

/// A code of an enumeration.
pub(crate) fn code(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).small_integer().not_null().take()
}

/// A [`code`] that may be absent.
pub(crate) fn maybe_code(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).small_integer().null().take()
}

/// A text of at most `len` characters, which can be indexed.
pub(crate) fn name(name: &'static str, len: u32) -> ColumnDef {
    ColumnDef::new(name).string_len(len).not_null().take()
}

/// A [`name`] that may be absent.
pub(crate) fn maybe_name(name: &'static str, len: u32) -> ColumnDef {
    ColumnDef::new(name).string_len(len).null().take()
}

/// A text of any length.
pub(crate) fn text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().not_null().take()
}

/// A [`text`] that may be absent.
pub(crate) fn maybe_text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().null().take()
}

/// Creates `table`. On MariaDB and MySQL its texts are compared byte by byte, as the other
/// engines do: ids differ by case.
pub(crate) async fn create(
    manager: &SchemaManager<'_>,
    table: &'static str,
    columns: Vec<ColumnDef>,
    references: &[(&'static str, &'static str)],
) -> Result<(), DbErr> {
    let mut create = Table::create().table(table).take();
    for mut column in columns {
        create.col(&mut column);
    }
    for (column, other) in references {
        let mut key = ForeignKey::create();
        key.name(format!("fk_{table}_{column}")).from(table, *column).to(*other, "id");
        create.foreign_key(&mut key);
    }
    if manager.get_database_backend() == DbBackend::MySql {
        create.engine("InnoDB").character_set("utf8mb4").collate("utf8mb4_bin");
    }
    manager.create_table(create).await
}

/// Creates a unique index over `columns`.
pub(crate) async fn unique(
    manager: &SchemaManager<'_>,
    table: &'static str,
    columns: &[&'static str],
) -> Result<(), DbErr> {
    let name = format!("uq_{table}_{}", columns.join("_"));
    let mut index = Index::create().name(name).table(table).unique().take();
    for column in columns {
        index.col(*column);
    }
    manager.create_index(index).await
}

/// Creates an index over `columns`, only of the rows that meet `condition` where the engine can
/// do that. MariaDB and MySQL cannot, and index all rows.
pub(crate) async fn index(
    manager: &SchemaManager<'_>,
    table: &'static str,
    name: &'static str,
    columns: &str,
    condition: Option<&str>,
) -> Result<(), DbErr> {
    let partial = match condition {
        Some(condition) if manager.get_database_backend() != DbBackend::MySql => {
            format!(" WHERE {condition}")
        }
        _ => String::new(),
    };
    let statement = format!("CREATE INDEX {name} ON {table} ({columns}){partial}");
    manager.get_connection().execute_unprepared(&statement).await?;
    Ok(())
}

/// Drops an [`index()`].
pub(crate) async fn drop_index(
    manager: &SchemaManager<'_>,
    table: &str,
    name: &str,
) -> Result<(), DbErr> {
    let of_table = match manager.get_database_backend() {
        DbBackend::MySql => format!(" ON {table}"),
        _ => String::new(),
    };
    let statement = format!("DROP INDEX {name}{of_table}");
    manager.get_connection().execute_unprepared(&statement).await?;
    Ok(())
}

/// Drops `tables`, in the order given.
pub(crate) async fn drop(
    manager: &SchemaManager<'_>,
    tables: &[&'static str],
) -> Result<(), DbErr> {
    for table in tables {
        manager.drop_table(Table::drop().table(*table).take()).await?;
    }
    Ok(())
}

/// Adds `columns` to `table`, one statement each, because SQLite takes no more.
pub(crate) async fn extend(
    manager: &SchemaManager<'_>,
    table: &'static str,
    columns: Vec<ColumnDef>,
) -> Result<(), DbErr> {
    for mut column in columns {
        manager.alter_table(Table::alter().table(table).add_column(&mut column).take()).await?;
    }
    Ok(())
}

/// Drops columns of `table`, in the order given.
pub(crate) async fn drop_columns(
    manager: &SchemaManager<'_>,
    table: &'static str,
    columns: &[&'static str],
) -> Result<(), DbErr> {
    for column in columns {
        manager.alter_table(Table::alter().table(table).drop_column(*column).take()).await?;
    }
    Ok(())
}
