//! The layers of a package, and which imports they allow.

use super::names::{Arrow, is_below};
use super::tables::LAYERS;

/// The layers of one package, and what it may use of the others.
pub struct Layers {
    pub library: &'static str,
    /// Other libraries of the workspace, or modules in them, and which of its own modules use them.
    /// No module stands for all.
    pub uses: &'static [(&'static str, &'static [&'static str])],
    /// The modules of the crate's root, from top to bottom. An import goes down, or to the side
    /// where `sideways` says so.
    pub floors: &'static [&'static [&'static str]],
    /// Who may import a neighbour on the same floor.
    pub sideways: &'static [(&'static str, &'static str)],
    /// Imports that the floors would allow and that would still be wrong.
    pub forbidden: &'static [(&'static str, &'static str)],
    /// Imports that exist, to prove that imports are found.
    pub known: &'static [(&'static str, &'static str)],
}

impl Layers {
    pub fn of(library: &str) -> Option<&'static Self> {
        LAYERS.iter().find(|layers| layers.library == library)
    }

    pub fn floor(&self, module: &str) -> Option<usize> {
        self.floors.iter().position(|floor| floor.contains(&module))
    }

    /// All modules on its floors.
    pub fn modules(&self) -> impl Iterator<Item = [String; 2]> {
        let modules = self.floors.iter().copied().flatten();
        modules.map(|module| [self.library, module].map(str::to_owned))
    }

    /// Imports that exist, as paths. An exception in `sideways` is one too, else it is not needed.
    pub fn known_arrows(&self) -> impl Iterator<Item = (String, String)> {
        let path = |module: &str| format!("{}::{module}", self.library);
        let known = self.known.iter().chain(self.sideways);
        known.map(move |(from, to)| (path(from), path(to)))
    }

    /// Whether `from` may import `to`, both modules at the crate's root.
    pub fn may_import(&self, from: &str, to: &str) -> bool {
        let (Some(above), Some(below)) = (self.floor(from), self.floor(to)) else {
            return false;
        };
        let pair = (from, to);
        let aside = self.sideways.contains(&pair);
        from == to || aside || (above < below && !self.forbidden.contains(&pair))
    }

    /// Whether `from` may use a module of another library.
    pub fn may_use(&self, from: &[String], module: &[String]) -> bool {
        let is_user = |user: &&str| is_below(&from[1..], user);
        self.uses.iter().any(|(used, users)| {
            is_below(module, used) && (users.is_empty() || users.iter().any(is_user))
        })
    }
}

/// Whether the layers allow this import.
pub fn is_allowed(Arrow { from, to, .. }: &Arrow) -> bool {
    let Some(layers) = Layers::of(&from[0]) else {
        return false;
    };
    match (from.get(1), to.get(1)) {
        _ if from[0] != to[0] => layers.may_use(from, to),
        (Some(from), Some(to)) => layers.may_import(from, to),
        // The crate's root declares modules and nothing else.
        _ => true,
    }
}
