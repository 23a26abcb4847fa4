//! One source file, parsed: its code without comments, literals and tests, the types and functions
//! that it declares, and the paths that it names.

use proc_macro2::{Delimiter, Group, Ident, LineColumn, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// What a source file contains.
pub struct Syntax {
    /// The code without comments and literals, each token where it is in the file.
    pub all_code: String,
    /// The same without what is compiled for tests only.
    pub code: String,
    /// The modules of `#[cfg(test)] mod name;`.
    pub test_modules: Vec<String>,
    /// Paths that are written outside tests.
    pub paths: Vec<NamedPath>,
    /// Modules with a body in this file, as the names on the way down.
    pub inline_modules: Vec<Vec<String>>,
    /// Types declared outside tests. Associated types are none.
    pub types: Vec<Declared>,
    /// Functions outside tests that have a body.
    pub functions: Vec<Declared>,
}

/// A path as it is written.
pub struct NamedPath {
    /// The modules of this file that it is in.
    pub within: Vec<String>,
    /// Its segments.
    pub names: Vec<String>,
    /// For an import of a module: the name by which it is known there.
    pub alias: Option<String>,
    /// Counted from one.
    pub line: usize,
}

/// A type or a function.
pub struct Declared {
    pub name: String,
    /// Counted from one.
    pub line: usize,
    /// Lines from its keyword or name to its end.
    pub lines: usize,
}

impl Syntax {
    /// Reads the text of a source file.
    pub fn read(text: &str) -> syn::Result<Self> {
        let tokens: TokenStream = text.parse()?;
        let mut test_modules = Vec::new();
        let product = without_tests(tokens.clone(), &mut test_modules);
        let (all_code, code) = (code(text, tokens), code(text, product.clone()));
        let mut reader = Reader::default();
        reader.visit_file(&syn::parse2(product)?);
        let Reader {
            paths,
            inline_modules,
            types,
            functions,
            ..
        } = reader;
        Ok(Self {
            all_code,
            code,
            test_modules,
            paths,
            inline_modules,
            types,
            functions,
        })
    }
}

/// The tokens without the items that have `#[cfg(test)]`; `modules` receives those that are files.
fn without_tests(tokens: TokenStream, modules: &mut Vec<String>) -> TokenStream {
    let mut kept = Vec::new();
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        let opens = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '#');
        if opens && rest.next_if(is_cfg_test).is_some() {
            let item = take_item(&mut rest);
            if let [
                ..,
                TokenTree::Ident(keyword),
                TokenTree::Ident(name),
                TokenTree::Punct(_),
            ] = &*item
                && keyword == "mod"
            {
                modules.push(name.to_string());
            }
            continue;
        }
        kept.push(match token {
            TokenTree::Group(group) => {
                let mut inner =
                    Group::new(group.delimiter(), without_tests(group.stream(), modules));
                inner.set_span(group.span());
                inner.into()
            }
            other => other,
        });
    }
    kept.into_iter().collect()
}

fn is_cfg_test(token: &TokenTree) -> bool {
    let TokenTree::Group(group) = token else {
        return false;
    };
    group.stream().to_string().replace(' ', "") == "cfg(test)"
}

/// Takes an item: what is before its `;` or its body, and that.
fn take_item(rest: &mut std::iter::Peekable<impl Iterator<Item = TokenTree>>) -> Vec<TokenTree> {
    let is_end =
        |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ';');
    let mut item = Vec::new();
    while let Some(token) = rest.next() {
        let is_body =
            matches!(&token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
        let ends = is_body || is_end(&token);
        item.push(token);
        if ends {
            // `use a::{b, c};` ends behind its brace.
            item.extend(rest.next_if(|token| is_body && is_end(token)));
            break;
        }
    }
    item
}

/// The text with everything but these tokens blanked out. Lines and columns stay.
fn code(text: &str, tokens: TokenStream) -> String {
    let original: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
    let mut lines: Vec<Vec<char>> = original.iter().map(|line| vec![' '; line.len()]).collect();
    // A doc comment has the tokens `#[doc = "…"]`, which are not in the text: those are left out.
    let mut put = |at: LineColumn, token: &str| {
        let chars: Vec<char> = token.chars().collect();
        let range = at.column..at.column + chars.len();
        if original[at.line - 1].get(range.clone()) == Some(&*chars) {
            lines[at.line - 1][range].copy_from_slice(&chars);
        }
    };
    put_tokens(tokens, &mut put);
    lines
        .into_iter()
        .map(String::from_iter)
        .collect::<Vec<_>>()
        .join("\n")
}

fn put_tokens(tokens: TokenStream, put: &mut impl FnMut(LineColumn, &str)) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                put(group.span_open().start(), open);
                put_tokens(group.stream(), put);
                put(group.span_close().start(), close);
            }
            TokenTree::Literal(_) => {}
            other => put(other.span().start(), &other.to_string()),
        }
    }
}

/// Collects what a file declares and names.
#[derive(Default)]
struct Reader {
    within: Vec<String>,
    /// How many bodies of functions are open.
    bodies: usize,
    paths: Vec<NamedPath>,
    inline_modules: Vec<Vec<String>>,
    types: Vec<Declared>,
    functions: Vec<Declared>,
}

impl Reader {
    fn name(&mut self, names: Vec<String>, alias: Option<String>, span: Span) {
        let (within, line) = (self.within.clone(), span.start().line);
        self.paths.push(NamedPath {
            within,
            names,
            alias,
            line,
        });
    }

    fn declare_type(&mut self, ident: &Ident) {
        let line = ident.span().start().line;
        self.types.push(Declared {
            name: ident.to_string(),
            line,
            lines: 1,
        });
    }

    fn declare_function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let line = signature.fn_token.span.start().line;
        let lines = body.brace_token.span.close().end().line - line + 1;
        self.functions.push(Declared {
            name: signature.ident.to_string(),
            line,
            lines,
        });
    }

    /// The paths of a `use`, each with the name that it gives.
    fn import(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |ident: &Ident| [before, &[ident.to_string()]].concat();
        let (ident, alias, names) = match tree {
            syn::UseTree::Path(path) => return self.import(&path.tree, &with(&path.ident)),
            syn::UseTree::Group(group) => {
                return group
                    .items
                    .iter()
                    .for_each(|tree| self.import(tree, before));
            }
            syn::UseTree::Glob(glob) => {
                return self.name(before.to_vec(), None, glob.star_token.span);
            }
            syn::UseTree::Name(name) => (&name.ident, &name.ident, with(&name.ident)),
            syn::UseTree::Rename(rename) => (&rename.ident, &rename.rename, with(&rename.ident)),
        };
        let (names, alias) = match before.last() {
            Some(last) if ident == "self" && alias == "self" => (before.to_vec(), last.clone()),
            _ if ident == "self" => (before.to_vec(), alias.to_string()),
            _ => (names, alias.to_string()),
        };
        let alias = (self.bodies == 0).then_some(alias);
        self.name(names, alias, ident.span());
    }

    /// The paths in the arguments of a macro or an attribute.
    fn scan(&mut self, tokens: &TokenStream) {
        let (mut names, mut colons, mut begin) = (Vec::new(), 0, Span::call_site());
        for token in tokens.clone() {
            match &token {
                TokenTree::Punct(punct) if punct.as_char() == ':' && !names.is_empty() => {
                    colons += 1;
                    continue;
                }
                TokenTree::Ident(ident) if colons == 2 => names.push(ident.to_string()),
                other => {
                    self.name(std::mem::take(&mut names), None, begin);
                    begin = other.span();
                    match other {
                        TokenTree::Ident(ident) => names.push(ident.to_string()),
                        TokenTree::Group(group) => self.scan(&group.stream()),
                        TokenTree::Punct(_) | TokenTree::Literal(_) => {}
                    }
                }
            }
            colons = 0;
        }
        self.name(names, None, begin);
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_file(&mut self, file: &'ast syn::File) {
        visit::visit_file(self, file);
        // A single name is declared here, imported here or built in: it adds no import.
        self.paths
            .retain(|path| path.names.len() > 1 || path.alias.is_some());
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.within.push(module.ident.to_string());
        if module.content.is_some() {
            self.inline_modules.push(self.within.clone());
        }
        visit::visit_item_mod(self, module);
        self.within.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        if let Some(first) = path.segments.first() {
            self.name(names, None, first.ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_token_stream(&mut self, tokens: &'ast TokenStream) {
        self.scan(tokens);
    }

    // `pub(in crate::a)` is no import.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.bodies += 1;
        visit::visit_block(self, block);
        self.bodies -= 1;
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.declare_function(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.declare_function(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.declare_function(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.declare_type(&item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.declare_type(&item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_union(&mut self, item: &'ast syn::ItemUnion) {
        self.declare_type(&item.ident);
        visit::visit_item_union(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.declare_type(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.declare_type(&item.ident);
        visit::visit_item_type(self, item);
    }
}
