//! Administrators' tokens are keys like all others.

use lapsed::{
    domain::{
        identity::{PublicId, Role},
        life::Ask,
        token::Mac,
    },
    store::{
        admin_tokens::{self, Holder, NewToken},
        key_changes,
        policies::PolicyBook,
        tenants,
    },
};

use crate::{
    on_each_engine,
    support::app::{OPERATOR, days},
};

on_each_engine! {
    async fn tokens_are_made_listed_ended_and_purged(app: TestApp) {
        let acme = (&"acme".parse().unwrap(), &"Acme".parse().unwrap());
        let acme = tenants::add(&app.db, "operator", acme.0, acme.1, &[]).await.unwrap();
        let policies = PolicyBook::new((*app.deps.policies).clone());
        let make = async |role, tenant_id| {
            let new = NewToken {
                public_id: PublicId::from_random(rand::random()),
                owner: Holder::Nobody,
                owner_public_id: PublicId::from_random(rand::random()),
                mac: &Mac { bytes: [4; 32], pepper: 7 },
                name: &"terraform".parse().unwrap(),
                role,
                tenant_id,
                ask: Ask::For(days(30)),
            };
            admin_tokens::create(&app.db, &policies, OPERATOR, &new).await.unwrap();
            new.public_id.to_string()
        };
        let (all, one) = (make(Role::Admin, None).await, make(Role::Viewer, Some(acme.id)).await);
        let listed = admin_tokens::list(&app.db).await.unwrap();
        let lines: Vec<_> =
            listed.iter().map(|token| (token.public_id.as_str(), token.role, token.tenant.as_deref())).collect();
        let expected = [(all.as_str(), Role::Admin, None), (&one, Role::Viewer, Some("acme"))];
        assert_eq!(lines, expected);
        assert_eq!(listed[0].expires_at, Some(app.now() + days(30)));
        let tenants: Vec<String> = app.column("SELECT slug FROM tenants ORDER BY id").await;
        assert_eq!(tenants, ["acme", "lapsed"], "one tenant for all tokens");

        key_changes::revoke(&app.db, &policies, OPERATOR, &one, None).await.unwrap();
        assert!(admin_tokens::find(&app.db, &one).await.unwrap().unwrap().is_revoked);
        app.pass().await;
        app.clock.advance(days(3));
        app.pass().await;
        assert_eq!(admin_tokens::find(&app.db, &one).await.unwrap(), None, "purged like any key");
        assert_eq!(app.count("admin_tokens").await, 1);
    }
}
