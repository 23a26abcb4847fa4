//! Which module uses which, and the cycles among them.

use std::collections::{BTreeMap, BTreeSet};

use super::sources::{Module, Source, child};

/// One module uses something that another one declares.
pub struct Arrow {
    pub from: Module,
    pub to: Module,
    /// The file and the line.
    pub place: String,
}

/// Whether a module is the one with this path, or in it.
pub fn is_below(module: &[String], path: &str) -> bool {
    let mut names = module.iter();
    path.split("::")
        .all(|name| names.next().is_some_and(|here| here == name))
}

/// The modules of all libraries, and what each imports.
struct Names<'a> {
    modules: BTreeSet<Module>,
    imports: BTreeMap<(Module, &'a str), &'a [String]>,
}

/// Imports that a path was followed through: the module, and the name there.
type Seen = BTreeSet<(Module, String)>;

/// The imports and paths between the modules of these sources. A path is followed through imports
/// and re-exports to the module that declares its end.
pub fn arrows<'a>(sources: impl Iterator<Item = &'a Source> + Clone) -> Vec<Arrow> {
    let names = Names::of(sources.clone());
    let mut arrows = Vec::new();
    for source in sources {
        for path in &source.syntax.paths {
            let from = [&*source.module, &*path.within].concat();
            let to = names.resolve(&from, &path.names, &mut BTreeSet::new());
            if let Some(to) = to.filter(|to| *to != from) {
                arrows.push(Arrow {
                    from,
                    to,
                    place: format!("{}:{}", source.path, path.line),
                });
            }
        }
    }
    arrows
}

impl<'a> Names<'a> {
    fn of(sources: impl Iterator<Item = &'a Source>) -> Self {
        let (mut modules, mut imports) = (BTreeSet::new(), BTreeMap::new());
        for source in sources {
            // A library counts although it may have no `lib.rs` here.
            modules.insert(source.module[..1].to_vec());
            modules.insert(source.module.clone());
            let inline = &source.syntax.inline_modules;
            modules.extend(
                inline
                    .iter()
                    .map(|below| [&*source.module, &**below].concat()),
            );
            for path in &source.syntax.paths {
                if let Some(alias) = &path.alias {
                    let module = [&*source.module, &*path.within].concat();
                    imports.insert((module, alias.as_str()), path.names.as_slice());
                }
            }
        }
        Self { modules, imports }
    }

    /// The module that declares what this path names in `module`; none where that is not ours.
    fn resolve(&self, module: &[String], path: &[String], seen: &mut Seen) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        let is_known =
            || self.has_child(module, first) || self.import(module, first, seen).is_some();
        match first.as_str() {
            // In the program too: it is a module of the library here.
            "crate" => Some(self.descend(&module[..1], rest, seen)),
            "self" => Some(self.descend(module, rest, seen)),
            "super" => Some(self.descend(module, path, seen)),
            _ if is_known() => Some(self.descend(module, path, seen)),
            library => self
                .has_child(&[], library)
                .then(|| self.descend(&path[..1], rest, seen)),
        }
    }

    /// Follows a path from a module through its children and imports, as long as they are modules.
    fn descend(&self, module: &[String], path: &[String], seen: &mut Seen) -> Module {
        let Some((first, rest)) = path.split_first() else {
            return module.to_vec();
        };
        if first == "super" {
            return self.descend(&module[..module.len() - 1], rest, seen);
        }
        if self.has_child(module, first) {
            return self.descend(&child(module, first), rest, seen);
        }
        let Some(imported) = self.import(module, first, seen) else {
            return module.to_vec();
        };
        seen.insert((module.to_vec(), first.clone()));
        self.resolve(module, &[imported, rest].concat(), seen)
            .unwrap_or_else(|| module.to_vec())
    }

    fn has_child(&self, module: &[String], name: &str) -> bool {
        self.modules.contains(&child(module, name))
    }

    /// What a module imports by this name, unless that was followed already.
    fn import(&self, module: &[String], name: &str, seen: &Seen) -> Option<&[String]> {
        let is_new = !seen.contains(&(module.to_vec(), name.to_owned()));
        is_new.then(|| self.imports.get(&(module.to_vec(), name)).copied())?
    }
}

/// Cycles between sibling modules, each with its arrows.
///
/// The graph is that of the direct children of each module, and that of the libraries: an arrow
/// from anything in one to anything in another is one between the two. What a child uses of its
/// parent does not count.
pub fn cycles(arrows: &[Arrow]) -> BTreeMap<String, Vec<String>> {
    let mut graphs: BTreeMap<&[String], BTreeMap<(&str, &str), &str>> = BTreeMap::new();
    for Arrow { from, to, place } in arrows {
        let common = from
            .iter()
            .zip(to)
            .take_while(|(one, other)| one == other)
            .count();
        if let (Some(one), Some(other)) = (from.get(common), to.get(common)) {
            graphs
                .entry(&from[..common])
                .or_default()
                .entry((one, other))
                .or_insert(place);
        }
    }
    let mut found = BTreeMap::new();
    for (parent, graph) in graphs {
        let reach = closure(graph.keys().copied().collect());
        let mut left: BTreeSet<&str> = graph.keys().map(|(one, _)| *one).collect();
        while let Some(one) = left.pop_first() {
            let returns =
                |other: &&str| reach.contains(&(one, *other)) && reach.contains(&(*other, one));
            let (mut nodes, others): (BTreeSet<&str>, BTreeSet<&str>) =
                left.into_iter().partition(returns);
            left = others;
            if nodes.is_empty() {
                continue;
            }
            nodes.insert(one);
            let inside = graph
                .iter()
                .filter(|((a, b), _)| nodes.contains(a) && nodes.contains(b));
            let shown = inside
                .map(|((a, b), place)| format!("{a} -> {b} ({place})"))
                .collect();
            let name = if parent.is_empty() {
                "crates".to_owned()
            } else {
                parent.join("::")
            };
            let nodes: Vec<&str> = nodes.into_iter().collect();
            found.insert(format!("{name}: {}", nodes.join(" <-> ")), shown);
        }
    }
    found
}

/// The transitive closure: all pairs of which the first reaches the second.
fn closure<'a>(mut reach: BTreeSet<(&'a str, &'a str)>) -> BTreeSet<(&'a str, &'a str)> {
    loop {
        let further = |(a, b): &(&'a str, &'a str)| {
            let from_b = reach.range((*b, "")..).take_while(move |(c, _)| c == b);
            from_b.map(move |(_, d)| (*a, *d)).collect::<Vec<_>>()
        };
        let more: BTreeSet<(&str, &str)> = reach.iter().flat_map(further).collect();
        if more.is_subset(&reach) {
            return reach;
        }
        reach.extend(more);
    }
}
