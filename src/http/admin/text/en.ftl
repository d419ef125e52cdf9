# What the pages of administrators say. The names are those of the code.
# English.
admin-skip = Skip to the content
admin-sections = Sections
admin-overview = Overview
admin-keys = Keys
admin-key = Key
admin-owners = Owners
admin-owner = Owner
admin-policies = Policies
admin-notices = Notices
admin-notice = Notice
admin-audit = Audit trail
admin-everywhere = all tenants
admin-sign-in = Sign in
admin-sign-out = Sign out
admin-token = Administrator's token
admin-token-note = Made by `lapsed admin token create`. You are signed out after 15 minutes without use, and after 8 hours.
admin-wrong-token = This token is not valid.
admin-too-many = Too many wrong tokens. Wait a minute and try again.
admin-problem = That did not work
admin-back = Back, to try again
admin-problem-not-found = There is nothing here, or it is not yours to see.
admin-problem-forbidden = Your token may not do this.
admin-problem-foreign-form = This form was not sent by a page of your session. Nothing was changed.
admin-problem-malformed = The address or the form makes no sense. Nothing was changed.
admin-problem-wrong-name = That is not the name. Nothing was changed.
admin-problem-policy-violation = The policy does not allow this. Nothing was changed.
admin-problem-key-expired = The key has expired: it can be rotated, not extended.
admin-problem-key-revoked = The key has been revoked already.
admin-problem-stale = Somebody else changed this at the same moment. Look again.
admin-problem-otp-required = A code of your second factor is needed. Nothing was changed.
admin-problem-mfa-enrolment-required = This needs a second factor, and the owner of your token has set up none: `lapsed otp setup` does. Nothing was changed.
admin-problem-otp-invalid = That is not the code. Nothing was changed.
admin-problem-otp-replayed = This code has been used. Wait for the next one. Nothing was changed.
admin-problem-otp-locked = Too many wrong codes. Nothing was changed.
admin-problem-otp-stopped = Too many wrong codes: an administrator has to reset your second factor. Nothing was changed.
admin-problem-otp-held = Your second factor was reset a short while ago and does not count yet. Nothing was changed.
admin-problem-unavailable = The database is away or busy. Try again in a minute.
admin-problem-internal = Something went wrong; the log says what.
admin-attention = Needs attention
admin-all-well = Nothing needs attention.
admin-alert-unreachable =
    { $n ->
    [one] One owner cannot be reached by mail
    *[other] { $n } owners cannot be reached by mail
    }
admin-alert-notices =
    { $n ->
    [one] One notice could not be told
    *[other] { $n } notices could not be told
    }
admin-alert-mails =
    { $n ->
    [one] One mail failed or is put aside
    *[other] { $n } mails failed or are put aside
    }
admin-alert-parked =
    { $n ->
    [one] One key is put aside, because its row makes no sense
    *[other] { $n } keys are put aside, because their rows make no sense
    }
admin-alert-deferred =
    { $n ->
    [one] One purge is put off
    *[other] { $n } purges are put off
    }
admin-alert-held =
    { $n ->
    [one] One key is held and will not be purged
    *[other] { $n } keys are held and will not be purged
    }
admin-alert-brake-expire = The brake holds back the expiry of { $n } keys: look at the plan
admin-alert-brake-purge = The brake holds back the purge of { $n } keys: look at the plan
admin-alert-clock = Nothing is destroyed while the clock is in doubt:
admin-alert-paused = All jobs are paused:
admin-alert-purge-paused = Purges are paused:
admin-alert-late = { $n } keys have waited for the sweep for more than an hour
admin-alert-mail = The mail channel failed and rests until
admin-state = State
admin-state-active = in use
admin-state-expired = expired
admin-state-window = in the window
admin-state-revoked = revoked
admin-state-suspended = suspended
admin-state-damaged = put aside
admin-state-parked = put aside
admin-state-held = held
admin-state-deferred = purge put off
admin-expiries = What expires in the next 90 days
admin-chart-sum =
    { $n ->
    [0] No key expires in the next 90 days.
    [one] One key expires in the next 90 days.
    *[other] { $n } keys expire in the next 90 days.
    }
admin-as-table = The same as a table
admin-day = Day (UTC)
admin-runs = Recent runs
admin-job = Job
admin-started = Started (UTC)
admin-outcome = Outcome
admin-examined = Examined
admin-changed = Changed
admin-failed = Failed
admin-nothing = There is nothing.
admin-more = More
admin-any = any
admin-search = Name, address or ID
admin-tenant = Tenant
admin-environment = Environment
admin-kind = Kind
admin-within = Expires within days
admin-filter = Filter
admin-name = Name
admin-expires = Expires (UTC)
admin-where = Where
admin-last-used = Last used (UTC)
admin-never = never
admin-not-used = never, as far as is known
admin-created = Created (UTC)
admin-window-ends = Can be purged from (UTC)
admin-purged = Purged
admin-next = What comes next
admin-timeline = What has happened
admin-extend = Extend
admin-extend-days = Days from now
admin-hold = Hold
admin-hold-why = Why it must be kept: it ends like any other, and is not purged
admin-release = Release
admin-approve = Approve the purge
admin-approve-note = Its policy asks for this word before it is purged. There is no way back after it.
admin-approved = Purge
admin-approved-note = approved
admin-kept-until = This record is kept until (UTC)
admin-suspend = Suspend
admin-suspend-note = Every secret of it is refused and it cannot be rotated until the suspension is lifted. Its dates do not wait. The owner and the contacts are told.
admin-unsuspend = Lift the suspension
admin-revoke = Revoke
admin-revoke-note = Every secret of it is refused from then on. It cannot be brought back.
admin-type-name = Type { $name } to confirm
admin-reason = Reason
admin-otp = Code of your second factor
admin-otp-note = Six digits from your device, or one of your recovery codes. It is the second factor of the owner of your token.
admin-owner-employee = employee
admin-owner-contractor = contractor
admin-owner-application = application
admin-mail = Mail
admin-refused = mail refused
admin-stuck = mail failed or put aside
admin-all-keys = See all their keys
admin-ending = Keys that would end
admin-and-more =
    { $n ->
    [one] And one more.
    *[other] And { $n } more.
    }
admin-access-ends = Access ends (UTC)
admin-no-end = no end
admin-offboard = End their access
admin-offboard-note = Every key that would outlive it ends with it, without a window. Look at a preview first.
admin-offboard-when = On which day, at 00:00 UTC; empty is now
admin-preview = Preview
admin-would-end =
    { $n ->
    [0] No key would end earlier if their access ended at
    [one] One key would end earlier if their access ended at
    *[other] { $n } keys would end earlier if their access ended at
    }
admin-cancel = Cancel
admin-number = Number
admin-stage = Stage
admin-due = Due (UTC)
admin-told = Told (UTC)
admin-attempts =
    { $n ->
    [one] one attempt
    *[other] { $n } attempts
    }
admin-reply = Last reply
admin-retry = Try again
admin-mail-preview = The mail
admin-mail-note = As it would be written now, without its link, which opens the owner's keys.
admin-no-mail = No mail can be written of it any more.
admin-action = Action
admin-when = When (UTC)
admin-who = Who
admin-detail = Detail
admin-policies-note = Choose whose policy you want to see. An environment is laid over its tenant, and a tenant over the installation.
admin-in-effect = In effect
admin-field = Field
admin-value = Value
admin-notice-days = Notice in days, for keys that would live too long
admin-spread-days = Spread their new dates over days
admin-origin-installation = from the installation
admin-origin-tenant = from the tenant
admin-origin-environment = from the environment
admin-origin-key = from the key itself
admin-rules = Rules
admin-rules-above = The rules of its environment
admin-try = Try a change out
admin-try-note = Nothing is changed by trying. A value is a number, a list such as 30,7,1, true, false, never, or inherit.
admin-apply = Apply this change
admin-sim-days = What happens in the next 30 days
admin-before = Now
admin-after = With the change
admin-sim-notices = Notices
admin-sim-expired = Keys that expire
admin-sim-suspended = Keys that are suspended, of those out of use already
admin-sim-purged = Keys that are purged
admin-sim-keys = { $n } keys were looked at
admin-sim-next = { $n } would have another next action
admin-sim-window = { $n } would have a window of another length
admin-sim-long = { $n } live longer than would be allowed, and keep their date
admin-sim-shortened = { $n } would end sooner, and their owners be told; the first at
admin-approvals = Approvals
admin-approvals-note = What ends or weakens waits here for a second administrator, where the policy asks for one. Keys are suspended without that.
admin-alert-approvals =
    { $n ->
    [one] One request waits for a second administrator
    *[other] { $n } requests wait for a second administrator
    }
admin-wanted = What is wanted
admin-wanted-revoke-key = Revoke a key
admin-wanted-release-hold = Release a key that is held
admin-wanted-approve-purge = Let a key be purged
admin-wanted-set-access = End an access
admin-wanted-reset-otp = Reset a second factor
admin-wanted-change-policy = Change a policy
admin-wanted-release-brake = Release a plan
admin-wanted-damaged = A damaged request
admin-approval-pending = waits
admin-approval-approved = approved
admin-approval-rejected = rejected
admin-approval-expired = expired
admin-approval-void = void
admin-approval-until = Can be approved until (UTC)
admin-approval-own = You asked for this. Another administrator has to approve it; you can take it back.
admin-decided = Decided
admin-approve-request = Approve
admin-reject = Reject
admin-problem-same-person = Another administrator has to approve what you asked for. Nothing was changed.
admin-problem-owner-required = Your token has no owner, and two people have to be told apart: make one with `lapsed admin token create --owner`. Nothing was changed.
admin-problem-approval-decided = This request has been decided already.
admin-problem-approval-expired = Nobody approved this request in time. Ask for it again.
admin-problem-approval-void = This request cannot be carried out any more as it was asked for. Nothing was changed.
admin-guards = What holds the daemon up
admin-guards-none = Nothing holds it up.
admin-guards-who = An administrator of all tenants decides this.
admin-brake-expire = The brake holds back the expiry of { $n } keys
admin-brake-purge = The brake holds back the purge of { $n } keys
admin-brake-note = Look first which keys these are. Released is exactly this plan: if a key of it is rotated, extended or revoked meanwhile, it is another one, and is held back again.
admin-brake-release = Release this plan
admin-brake-released = Released: the next run carries it out.
admin-since = Since (UTC)
admin-hash = Hash of the plan
admin-clock = The clock is not believed
admin-clock-until = Nothing is destroyed meanwhile. It will be believed at (UTC)
admin-clock-apart = Nothing is destroyed meanwhile. It will be believed when both clocks agree: put right the time of the database's machine or of this one.
admin-clock-accept = It is right: believe it
admin-resume = Go on
admin-problem-wrong-plan = No plan of so many keys with this hash is held back. It may have changed: look again. Nothing was released.
admin-problem-clock-apart = The database's clock and this machine's differ, and nobody can accept that: put them right.
admin-reminders = Reminders before an expiry
admin-reminders-all = every one
admin-reminders-within = none earlier than { $n } days before
admin-reminders-last = only the last one
