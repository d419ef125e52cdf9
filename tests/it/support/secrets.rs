//! Keys with real secrets, and owners with a second factor.

use std::sync::Arc;

use chrono::TimeDelta;
use lapsed::{
    domain::{
        identity::{KeyKind, PublicId},
        life::Ask,
        otp::{Attempt, RecoveryCode, Seed},
        token::{Brand, Class, Token},
        verdict::Verdict,
    },
    keyring::Keyring,
    store::{
        keys::{self, NewKey},
        otp,
        owners::{self, Owner},
        policies::PolicyBook,
        rotation::{self, Mint, Proof, Request, Rotated, RotationError},
        verify::Verifier,
    },
};

use crate::support::app::{OPERATOR, TestApp};

/// One installation's secrets, and what is done with them. Everything belongs to owner 1.
pub struct Secrets<'a> {
    pub app: &'a TestApp,
    pub keyring: Arc<Keyring>,
    pub brand: Brand,
    pub verifier: Verifier,
}

impl<'a> Secrets<'a> {
    pub async fn new(app: &'a TestApp) -> Self {
        app.people().await;
        let brand = Brand::new("lp").unwrap();
        Self { app, keyring: Arc::new(Keyring::throwaway()), brand, verifier: Verifier::default() }
    }

    pub async fn policies(&self) -> PolicyBook {
        PolicyBook::load(&self.app.db, (*self.app.deps.policies).clone()).await.unwrap()
    }

    /// Has rotations need an OTP.
    pub async fn require_mfa(&self) {
        self.app.execute("UPDATE tenants SET policy = '{\"mfa_required_for\": [\"rotate\", \"window_rotate\"]}'").await;
    }

    /// Makes a key of 90 days.
    pub async fn create(&self) -> Token {
        let id = PublicId::from_random(rand::random());
        let token = Token::new(self.brand, KeyKind::User, Class::Live, id, &rand::random());
        let new = NewKey {
            public_id: id,
            mac: &token.mac(self.keyring.pepper()),
            tenant_id: 1,
            environment_id: 1,
            owner_id: 1,
            kind: KeyKind::User,
            name: &"deploy".parse().unwrap(),
            ask: Ask::Default,
        };
        keys::create(&self.app.db, &self.policies().await, OPERATOR, &new).await.unwrap();
        token
    }

    pub async fn owner(&self) -> Owner {
        owners::find(self.app.db.conn(), 1, "ada@acme.example").await.unwrap().unwrap()
    }

    /// Sets up a second factor. The code of this moment is used up by it.
    pub async fn enrol(&self, recovery: &[RecoveryCode]) -> Seed {
        let (db, owner) = (&self.app.db, self.owner().await);
        let seed = Seed::new(rand::random());
        otp::begin(db, &self.keyring, "operator", &owner, (&seed, &rand::random())).await.unwrap();
        let code = Attempt::Code(seed.code_at(self.app.now()).unwrap());
        otp::confirm(db, &self.keyring, "operator", &owner, &code, recovery).await.unwrap();
        seed
    }

    /// What the device shows half a minute from now, when it is.
    pub fn next_code(&self, seed: &Seed) -> Attempt {
        self.app.clock.advance(TimeDelta::seconds(30));
        Attempt::Code(seed.code_at(self.app.now()).unwrap())
    }

    pub async fn rotate(&self, key: &Token) -> Result<Rotated, RotationError> {
        self.rotate_with(key, Proof::Nothing).await
    }

    pub async fn rotate_with(
        &self,
        key: &Token,
        proof: Proof<'_>,
    ) -> Result<Rotated, RotationError> {
        self.ask(&request(key, proof)).await
    }

    pub async fn ask(&self, request: &Request<'_>) -> Result<Rotated, RotationError> {
        let (random, policies) = (rand::random(), self.policies().await);
        let mint = Mint { brand: self.brand, keyring: &self.keyring, random: &random };
        rotation::rotate(&self.app.db, &policies, "operator", &mint, request).await
    }

    pub async fn reissue(&self, key: &Token) -> Result<Rotated, RotationError> {
        let (random, policies) = (rand::random(), self.policies().await);
        let mint = Mint { brand: self.brand, keyring: &self.keyring, random: &random };
        let request = request(key, Proof::Nothing);
        rotation::reissue(&self.app.db, &policies, "operator", &mint, &request).await
    }

    pub async fn verify(&self, text: &str) -> Verdict {
        let secrets = (self.brand, self.keyring.pepper());
        self.verifier.verify(&self.app.db, secrets, (text, None)).await.unwrap()
    }

    /// The one word of the verdict.
    pub async fn finding(&self, token: &Token) -> &'static str {
        self.verify(token.expose()).await.finding.as_str()
    }
}

/// A rotation of `key` with the overlap that the policy says, which is a day.
pub fn request<'a>(key: &Token, proof: Proof<'a>) -> Request<'a> {
    // A few bytes a test forgets, so that a request lives as long as its proof.
    let public_id = Box::leak(key.id.to_string().into_boxed_str());
    Request { public_id, overlap: None, proof, version: None, once: None }
}
