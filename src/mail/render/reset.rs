//! The mail about a second factor that was reset, for an owner who has never had a key.

use minijinja::context;

use super::{Letter, RenderError, Templates};
use crate::mail::{
    address::clean_name,
    digest::{Audience, Digest, Why},
    render::load::in_language,
    words::Words,
};

impl Templates {
    /// Writes the mail that says so to whoever reads `digest`, which has no items: about an owner in
    /// this tenant.
    pub fn render_reset(&self, digest: &Digest, tenant: &str) -> Result<Letter, RenderError> {
        let to_name = digest.to_name.as_deref().map(clean_name).unwrap_or_default();
        let (is_owner, owner, owner_mail, reason) = match &digest.audience {
            Audience::Contacts { owner_name, owner_mail_masked, why } => {
                let reason = match why {
                    Why::Unreachable(reason) => Some(clean_name(reason)),
                    Why::Beside | Why::Copy | Why::Instead => None,
                };
                (false, clean_name(owner_name), clean_name(owner_mail_masked), reason)
            }
            Audience::Owner | Audience::Operators => (true, String::new(), String::new(), None),
        };
        let context = context! {
            is_owner,
            to_name => if is_owner { to_name } else { String::new() },
            tenant => clean_name(tenant),
            owner => if owner.is_empty() { Words::of(digest.language).no_name.to_owned() } else { owner },
            owner_mail,
            reason,
        };
        let template = in_language(digest.language, "otp-reset-alone.txt");
        self.about_no_key(&template, &context, (digest.language, "warn", Vec::new()))
    }
}
