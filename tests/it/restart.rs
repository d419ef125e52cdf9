//! Pull the plug at any point: what was committed stays, the rest begins anew, and each owner is
//! told each thing.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use lapsed::{
    jobs::runner::Runner,
    mail::{memory::MemoryOutbox, transport::Transport},
    shutdown::Shutdown,
};

use crate::{
    on_each_engine,
    support::app::{TestApp, days, deps},
};

impl TestApp {
    /// A new process on the same database: new connections, nothing remembered.
    async fn restart(self) -> Self {
        let Self { db, test_db, clock, outbox, .. } = self;
        // What a killed process leaves open, the database undoes.
        drop(db);
        let db = test_db.connect(Arc::new(clock.clone())).await;
        let deps = deps(db.clone(), clock.clone(), Transport::Memory(outbox.clone()));
        let runner = Runner::new(deps.clone(), Duration::from_secs(60), Shutdown::new());
        Self { db, test_db, clock, outbox, runner, deps }
    }

    /// Twenty owners with a key each that expires now.
    async fn twenty(&self) {
        self.people().await;
        for id in 2..=21 {
            self.owner(id, &format!("o{id}@acme.example")).await;
            self.key_of(id, id, days(0)).await;
        }
    }

    /// How many owners' servers took over a mail, and how many mails that were.
    fn told(&self) -> (usize, usize) {
        let sent = self.outbox.sent();
        let mut owners: Vec<_> = sent.iter().flat_map(|mail| mail.to.clone()).collect();
        owners.sort();
        owners.dedup();
        (owners.len(), sent.len())
    }
}

on_each_engine! {
    async fn between_any_two_jobs(app: TestApp) {
        app.twenty().await;
        app.sweep().await;
        let app = app.restart().await;
        assert_eq!(app.sweep().await.n_examined, 0, "the sweep was done");
        app.job("deliver").await;
        let app = app.restart().await;
        app.job("deliver").await;
        assert_eq!(app.told(), (20, 20));
        app.clock.advance(days(7));
        app.sweep().await;
        let app = app.restart().await;
        app.clock.advance(TimeDelta::milliseconds(1));
        app.job("purge").await;
        let app = app.restart().await;
        app.job("deliver").await;
        assert_eq!(app.count("tombstones").await, 20);
        assert_eq!(app.told(), (20, 40), "each was told of the expiry, and of the purge");
    }
}

on_each_engine! {
    async fn in_the_middle_of_a_sweep(app: TestApp) {
        app.twenty().await;
        let tx = app.db.begin().await.unwrap();
        let now = app.db.now(&*tx).await.unwrap();
        let claim = lapsed::store::due::claim(&*tx, lapsed::store::turn::BEGINNING, now, 100).await.unwrap();
        assert_eq!(claim.len(), 20);
        drop(tx);
        let app = app.restart().await;
        assert_eq!(app.sweep().await.n_changed, 20, "what was not committed was not done");
    }
}

on_each_engine! {
    async fn in_the_middle_of_a_delivery(app: TestApp) {
        app.twenty().await;
        app.sweep().await;
        let mut n = 0;
        app.outbox.decide_with(move |_| {
            n += 1;
            assert!(n < 8, "pulling the plug");
            MemoryOutbox::accepted()
        });
        assert!(app.try_job("deliver").await.is_err());
        let app = app.restart().await;
        app.outbox.decide_with(|_| MemoryOutbox::accepted());
        app.job("deliver").await;
        assert!(app.told().0 < 20, "what the dead one held is left alone while it may live");
        app.clock.advance(TimeDelta::minutes(10));
        app.job("deliver").await;
        let (owners, mails) = app.told();
        assert_eq!(owners, 20, "nobody goes untold");
        assert!(mails <= 27, "at most what was under way arrives twice: {mails}");
        assert_eq!(app.count("messages WHERE status <> 3").await, 0);
    }
}
