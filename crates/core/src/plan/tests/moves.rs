//! Everything that can happen in a made-up world, one [`Move`] at a time, and how it is written
//! down: one line each, as in the files of `corpus/`. The exploration and the generated histories
//! share them.
//!
//! To add a move: a variant, its arm in [`Move::make`], and its words in `moves/text.rs`. Then
//! offer it in `explore.rs` and draw it in `histories.rs`.

use std::time::Duration;

use chrono::TimeDelta;

use super::scene::{acknowledged, file, login, optional, told, user_of, webhook};
use super::world::{Broken, Fault, Refusal, Says, World};
use crate::config::{
    AccountPolicy, AuthConfigSink, EnvFileSink, FileAccess, Foreign, SinkKind, SinkPolicy,
};

pub(super) mod text;

/// The sinks a made-up policy may have. Each account has its own, but the keys of `shared` are in
/// one file. The consumer of `dialer` is told and acknowledges; `ivr` shows only whether it was
/// changed.
pub(crate) const SINKS: [&str; 6] = ["app", "crm", "extra", "shared", "dialer", "ivr"];

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Move {
    /// The next thing the plan wants, with this fault.
    Step(Fault),
    /// All that is due, without a fault.
    Pass,
    /// Passes without a fault for so long.
    Live(Duration),
    /// Time passes until the next pass is due.
    Next,
    /// Time passes, whatever is due.
    Wait(Duration),
    /// The process ends and another begins.
    Crash,
    /// So does the machine.
    Reboot,
    /// A sink begins to refuse, or works again.
    Refuse(&'static str, Refusal),
    Accept(&'static str),
    /// A file can be read no more, or again.
    Hide(&'static str),
    Show(&'static str),
    /// A file is gone.
    Lose(&'static str),
    /// A file gets a token that someone else made just now.
    Overwrite(&'static str),
    /// A file gets back our oldest token that works, as from a backup.
    Restore(&'static str),
    /// Something else is changed there, and what it holds is not.
    Touch(&'static str),
    /// Those who read it cannot be told anything, or can again.
    Deafen(&'static str),
    Hear(&'static str),
    /// The consumer of a sink says what it uses.
    Acknowledge(&'static str, Said),
    MintForeign,
    /// Another account of the same user makes a token.
    MintSibling,
    /// Something is done to the flow that no sink of ours writes to.
    Flow(Flow),
    /// The operator puts foreign tokens under the policy, and names the flow where it holds one; or
    /// leaves them alone.
    Adopt,
    Disown,
    /// Someone deletes the oldest or the newest of our tokens.
    RevokeOldest,
    RevokeNewest,
    ClockAhead(Duration),
    ClockBack(Duration),
    ServerDown,
    ServerUp,
    /// Lists show no token that is made from here on, or all again.
    OnePage,
    WholeList,
    /// The password is changed on the server, or in the policy's source.
    ChangePassword,
    TellPassword,
    Ask,
    Reload(Change),
}

/// What a consumer says that it uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Said {
    /// What its sink holds.
    Held,
    /// Our oldest token that works.
    Oldest,
    /// Nothing that makes sense.
    Odd,
    /// Nothing at all, as from a new disk.
    Nothing,
}

/// What is done to the flow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Flow {
    /// Someone pastes a token of others into it.
    Pasted,
    /// It takes its token from one of our sinks from here on.
    Mended,
    /// It can be read no more, or again.
    Hidden,
    Shown,
}

/// A change of the policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Change {
    Nothing,
    /// A sink is taken out, or put back.
    Toggle(&'static str),
    /// A sink becomes optional, or required.
    Demand(&'static str),
    /// Another path, or the first one again.
    Move(&'static str),
    /// Another user, or the first one again.
    User,
    MaxAge(Duration),
    Overlap(Duration),
    MaxLive(u32),
    Foreign(Foreign),
}

impl Move {
    /// Makes it happen. One about a sink that the policy does not have, or that cannot be, does
    /// nothing.
    pub fn make(self, world: &mut World) -> Result<(), Broken> {
        if !matches!(self, Self::Step(_)) {
            world.tell(|| self.to_string());
        }
        if let Some(sink) = self.sink()
            && !world
                .policy
                .sinks
                .iter()
                .any(|configured| configured.name == sink)
        {
            return Ok(());
        }
        match self {
            Self::Step(fault) => _ = world.step(fault)?,
            Self::Pass => _ = world.pass()?,
            Self::Live(time) => world.live(time)?,
            Self::Next => world.sleep(),
            Self::Wait(time) => world.out.now += time,
            Self::Crash => world.crash()?,
            Self::Reboot => world.reboot()?,
            Self::Refuse(sink, refusal) => {
                world
                    .places_beside(sink)
                    .into_iter()
                    .for_each(|place| place.refuses = Some(refusal));
            }
            Self::Accept(sink) => {
                world
                    .places_beside(sink)
                    .into_iter()
                    .for_each(|place| place.refuses = None);
            }
            Self::Hide(sink) => {
                world
                    .places_beside(sink)
                    .into_iter()
                    .for_each(|place| place.unreadable = true);
            }
            Self::Show(sink) => {
                world
                    .places_beside(sink)
                    .into_iter()
                    .for_each(|place| place.unreadable = false);
            }
            Self::Lose(sink) => world
                .places_beside(sink)
                .into_iter()
                .for_each(|place| place.put(None)),
            Self::Overwrite(sink) => {
                let other = world.mint_foreign();
                world.place(sink).put(Some(other));
            }
            Self::Restore(sink) => world.restore(sink),
            Self::Touch(sink) => world.place(sink).version += 1,
            Self::Deafen(sink) => world.place(sink).deaf = true,
            Self::Hear(sink) => world.place(sink).deaf = false,
            Self::Acknowledge(sink, said) => {
                let oldest = world.oldest_alive();
                let place = world.place(sink);
                place.says = match said {
                    Said::Held => place.holds.map(Says::Uses),
                    Said::Oldest => oldest.map(Says::Uses),
                    Said::Odd => Some(Says::Odd),
                    Said::Nothing => None,
                };
            }
            Self::MintForeign => _ = world.mint_foreign(),
            Self::MintSibling => world.mint_sibling(),
            Self::Flow(Flow::Pasted) => world.paste(),
            Self::Flow(Flow::Mended) => world.mend_flow(),
            Self::Flow(Flow::Hidden) => world.out.flow.unreadable = true,
            Self::Flow(Flow::Shown) => world.out.flow.unreadable = false,
            Self::Adopt => world.adopt()?,
            Self::Disown => world.disown()?,
            Self::RevokeOldest => {
                let token = world
                    .state
                    .own()
                    .find(|generation| generation.is_alive())
                    .map(|generation| generation.fingerprint);
                token.into_iter().for_each(|token| world.revoke(token));
            }
            Self::RevokeNewest => {
                let token = world
                    .state
                    .own()
                    .rfind(|generation| generation.is_alive())
                    .map(|generation| generation.fingerprint);
                token.into_iter().for_each(|token| world.revoke(token));
            }
            Self::ClockAhead(by) => world.set_clock(TimeDelta::from_std(by).expect("it is short")),
            Self::ClockBack(by) => world.set_clock(-TimeDelta::from_std(by).expect("it is short")),
            Self::ServerDown => world.out.server.down = true,
            Self::ServerUp => world.out.server.down = false,
            Self::OnePage => world.show_one_page(),
            Self::WholeList => world.out.server.page = None,
            Self::ChangePassword => world.out.server.password = "second",
            Self::TellPassword => world.password = world.out.server.password,
            Self::Ask => world.ask()?,
            Self::Reload(change) => world.reload(|policy| change.make(policy))?,
        }
        Ok(())
    }

    /// The sink of the policy that it is about.
    pub fn sink(&self) -> Option<&'static str> {
        match self {
            Self::Refuse(sink, _)
            | Self::Accept(sink)
            | Self::Hide(sink)
            | Self::Show(sink)
            | Self::Lose(sink)
            | Self::Overwrite(sink)
            | Self::Restore(sink)
            | Self::Touch(sink)
            | Self::Deafen(sink)
            | Self::Hear(sink)
            | Self::Acknowledge(sink, _) => Some(sink),
            Self::Step(_)
            | Self::Pass
            | Self::Live(_)
            | Self::Next
            | Self::Wait(_)
            | Self::Crash
            | Self::Reboot
            | Self::MintForeign
            | Self::MintSibling
            | Self::Flow(_)
            | Self::Adopt
            | Self::Disown
            | Self::RevokeOldest
            | Self::RevokeNewest
            | Self::ClockAhead(_)
            | Self::ClockBack(_)
            | Self::ServerDown
            | Self::ServerUp
            | Self::OnePage
            | Self::WholeList
            | Self::ChangePassword
            | Self::TellPassword
            | Self::Ask
            | Self::Reload(_) => None,
        }
    }
}

impl Change {
    fn make(self, policy: &mut AccountPolicy) {
        let name = policy.name.clone();
        match self {
            Self::Nothing => {}
            Self::Toggle(sink) => match policy
                .sinks
                .iter()
                .position(|configured| configured.name == sink)
            {
                Some(at) => _ = policy.sinks.remove(at),
                None => policy.sinks.push(sink_of(&name, sink)),
            },
            Self::Demand(sink) => {
                for sink in policy
                    .sinks
                    .iter_mut()
                    .filter(|configured| configured.name == sink)
                {
                    sink.required = !sink.required;
                }
            }
            Self::Move(sink) => {
                for it in policy
                    .sinks
                    .iter_mut()
                    .filter(|configured| configured.name == sink)
                {
                    let moved = sink_of(&format!("{name}-moved"), sink).kind;
                    it.kind = if it.kind == moved {
                        sink_of(&name, sink).kind
                    } else {
                        moved
                    };
                }
            }
            Self::User => {
                let other = format!("other-{}", first_user_of(&name));
                let next = if user_of(policy) == other {
                    first_user_of(&name)
                } else {
                    other
                };
                policy.login = login(&next);
            }
            Self::MaxAge(max_age) => policy.retention.max_age = max_age,
            Self::Overlap(overlap) => policy.retention.overlap = overlap,
            Self::MaxLive(max_live) => policy.retention.max_live = max_live,
            Self::Foreign(foreign) => policy.retention.foreign = foreign,
        }
    }
}

/// The first user of this account.
pub(crate) fn first_user_of(account: &str) -> String {
    format!("{account}@example.com")
}

/// The sink of this name, one of [`SINKS`], of this account.
pub(crate) fn sink_of(account: &str, name: &str) -> SinkPolicy {
    let kind = match name {
        "crm" => webhook(&format!("{name}-{account}")).kind,
        "shared" => SinkKind::EnvFile(EnvFileSink {
            path: "/run/shared.env".into(),
            key: account.to_uppercase().replace('-', "_"),
            access: FileAccess::default(),
        }),
        "ivr" => SinkKind::AuthConfig(AuthConfigSink {
            account_id: account.to_owned(),
            auth_config_id: name.to_owned(),
        }),
        _ => file(&format!("{name}-{account}")).kind,
    };
    let sink = SinkPolicy {
        name: name.to_owned(),
        required: true,
        kind,
        notify: None,
        acknowledge: None,
    };
    match name {
        "extra" => optional(sink),
        "dialer" => acknowledged(told(sink, &format!("reload-{account}"))),
        _ => sink,
    }
}
