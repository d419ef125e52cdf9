//! What a seal notices.

use super::*;

fn key() -> SealKey {
    SealKey::new(Derived::new(7, [7; 32]))
}

fn row(id: i64) -> Entry {
    Entry {
        id,
        at: 1_800_000_000_000 + id,
        tenant_id: Some(1),
        actor: "daemon".to_owned(),
        action: "key.expired".to_owned(),
        key_id: Some(id * 10),
        owner_id: None,
        detail: "{}".to_owned(),
    }
}

/// Rows with gaps, as transactions that were undone leave them.
fn rows() -> Vec<Entry> {
    [3, 4, 6, 9].map(row).to_vec()
}

fn seal() -> Seal {
    Seal::new(&key(), (0, Digest::GENESIS), &rows(), 1_800_000_100_000).unwrap()
}

fn check(change: impl FnOnce(&mut Vec<Entry>)) -> Result<(), Flaw> {
    let mut rows = rows();
    change(&mut rows);
    seal().check(&key(), &rows)
}

#[test]
fn a_seal_is_for_ever() {
    let seal = seal();
    assert_eq!((seal.span.first_id, seal.span.last_id, seal.span.n_rows), (1, 9, 4));
    // A change here makes every sealed trail in the world unverifiable.
    assert_eq!(
        seal.digest.to_string(),
        "66365004677355ff80ca8a7dab9bdae196d4b90e9478bcc0366cb1efd78deaf9"
    );
    assert_eq!(Seal::new(&key(), (0, Digest::GENESIS), &[], 0), None);
}

#[test]
fn what_was_done_to_a_row_is_told_with_the_row() {
    assert_eq!(check(|_| ()), Ok(()));
    let edits: [fn(&mut Entry); 7] = [
        |row| row.at += 1,
        |row| row.tenant_id = None,
        |row| row.actor = "operator".to_owned(),
        |row| row.action = "key.expire".to_owned(),
        |row| row.key_id = Some(61),
        |row| row.owner_id = Some(0),
        |row| row.detail.push(' '),
    ];
    for edit in edits {
        assert_eq!(check(|rows| edit(&mut rows[2])), Err(Flaw::Edited { row: 6 }));
    }
    assert_eq!(check(|rows| drop(rows.remove(1))), Err(Flaw::Deleted { row: 4 }));
    assert_eq!(check(|rows| drop(rows.pop())), Err(Flaw::Deleted { row: 9 }));
    assert_eq!(check(|rows| rows.insert(0, row(1))), Err(Flaw::Inserted { row: 1 }));
    assert_eq!(check(|rows| rows.insert(2, row(5))), Err(Flaw::Inserted { row: 5 }));
    let swap = |rows: &mut Vec<Entry>| {
        rows.swap(1, 2);
        (rows[1].id, rows[2].id) = (4, 6);
    };
    assert_eq!(check(swap), Err(Flaw::Edited { row: 4 }), "the first of two that changed places");
}

#[test]
fn what_was_done_to_the_seal_is_found() {
    let changes: [fn(&mut Seal); 5] = [
        |seal| seal.span.first_id = 2,
        |seal| seal.span.sealed_at += 1,
        |seal| seal.span.n_rows += 1,
        |seal| seal.prev = Digest([1; 32]),
        |seal| seal.digest = Digest([1; 32]),
    ];
    for change in changes {
        let mut seal = seal();
        change(&mut seal);
        assert_eq!(seal.check(&key(), &rows()), Err(Flaw::Forged));
    }
    assert_eq!(format!("{:?}", key()), "SealKey(…)");
    let other = SealKey::new(Derived::new(8, [8; 32]));
    assert!(seal().check(&other, &rows()).is_err(), "nobody without the key can make one");
}

#[test]
fn fields_cannot_run_into_each_other() {
    let with = |actor: &str, action: &str| {
        let row = Entry { actor: actor.to_owned(), action: action.to_owned(), ..row(1) };
        mark(&key().0.present, &row).mac
    };
    assert_ne!(with("ab", "c"), with("a", "bc"));
    let absent =
        |tenant_id, key_id| mark(&key().0.present, &Entry { tenant_id, key_id, ..row(1) }).mac;
    assert_ne!(absent(None, Some(1)), absent(Some(1), None));
}

#[test]
fn a_seal_from_before_a_change_of_the_master_key_holds_while_the_old_one_is_known() {
    let old = Derived::new(7, [7; 32]).present.clone();
    let both = SealKey::new(Derived { before: Some(old), ..Derived::new(8, [8; 32]) });
    assert_eq!(seal().check(&both, &rows()), Ok(()));
    let mut edited = rows();
    edited[2].at += 1;
    assert_eq!(
        seal().check(&both, &edited),
        Err(Flaw::Edited { row: 6 }),
        "and its rows are named"
    );
    let new = Seal::new(&both, (9, seal().digest), &[row(10)], 0).unwrap();
    let alone = SealKey::new(Derived::new(8, [8; 32]));
    assert_eq!(new.check(&alone, &[row(10)]), Ok(()), "what is sealed now is under the new one");
}
