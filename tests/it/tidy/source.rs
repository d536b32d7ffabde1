//! The Rust files of the project, as flat lists of tokens that the rules of the house read.

use std::path::Path;
use std::sync::LazyLock;
use std::{fs, iter};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Item};

/// Where the project's own code is, seen from the root of the repository.
const FOLDERS: &[&str] = &["src", "devices", "examples", "tests", "benches", "fuzz"];

/// Every file that the rules are about.
pub(crate) struct House {
    pub(crate) sources: Vec<Source>,
}

/// One file: its text, and its tokens in the order of the text.
pub(crate) struct Source {
    /// From the root of the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// All tokens, tests included.
    pub(crate) tokens: Vec<Token>,
    /// What ships: items without `#[cfg(test)]`, each with the module it stands in.
    pub(crate) shipped: Vec<(Vec<String>, Vec<Token>)>,
    /// Modules that are declared here with `#[cfg(test)] mod name;`.
    test_modules: Vec<Vec<String>>,
}

/// A word, a literal, a sign (`::` is one) or one end of a group.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

impl House {
    /// The project as it stands on the disk, which is read once.
    pub(crate) fn read() -> &'static Self {
        static HOUSE: LazyLock<House> = LazyLock::new(House::read_files);
        &HOUSE
    }

    fn read_files() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut sources = Vec::new();
        for folder in FOLDERS {
            read_folder(root, &root.join(folder), &mut sources);
        }
        assert!(sources.len() > 5, "the project has more files than that");
        Self::new(sources)
    }

    /// A house of these files, as (path, text).
    pub(crate) fn of(samples: &[(&str, &str)]) -> Self {
        let sources = samples
            .iter()
            .map(|(path, text)| Source::parse(path, (*text).into()));
        Self::new(sources.collect())
    }

    /// What `lib.rs` exports, by name, and the module it comes from.
    pub(crate) fn exports(&self) -> Vec<(String, String)> {
        let Some(lib) = self
            .sources
            .iter()
            .find(|source| source.path == "src/lib.rs")
        else {
            return Vec::new();
        };
        let mut exports = Vec::new();
        for (_, tokens) in &lib.shipped {
            let Some(at) = tokens.iter().position(|token| token.text == "use") else {
                continue;
            };
            for path in paths_from(tokens, at + 1, &[]) {
                if let (Some(first), Some(last)) = (path.first(), path.last()) {
                    exports.push((last.clone(), first.clone()));
                }
            }
        }
        exports
    }

    /// A file that only tests include ships nothing.
    fn new(mut sources: Vec<Source>) -> Self {
        let tests: Vec<_> = sources
            .iter()
            .flat_map(|source| source.test_modules.clone())
            .collect();
        for source in &mut sources {
            let module = module_of(&source.path);
            if source.path.starts_with("src/") && tests.iter().any(|test| module.starts_with(test))
            {
                source.shipped.clear();
            }
        }
        Self { sources }
    }
}

impl Source {
    fn parse(path: &str, text: String) -> Self {
        let file = syn::parse_file(&text).expect(path);
        let mut source = Self {
            path: path.into(),
            text,
            tokens: flat(file.to_token_stream()),
            shipped: Vec::new(),
            test_modules: Vec::new(),
        };
        source.sort(&file.items, &module_of(path));
        source
    }

    /// Parts what ships from what `#[cfg(test)]` keeps out.
    fn sort(&mut self, items: &[Item], module: &[String]) {
        for item in items {
            let inner = match item {
                Item::Mod(inner) => {
                    Some((joined(module, &inner.ident.to_string()), &inner.content))
                }
                _ => None,
            };
            match (is_test(item), inner) {
                (true, Some((name, None))) => self.test_modules.push(name),
                (true, _) => {}
                (false, Some((name, Some((_, items))))) => self.sort(items, &name),
                (false, _) => self
                    .shipped
                    .push((module.to_vec(), flat(item.to_token_stream()))),
            }
        }
    }
}

/// The paths that begin at this token: one, or those of a `{…}` in a `use`.
pub(crate) fn paths_from(tokens: &[Token], at: usize, prefix: &[String]) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    collect_paths(tokens, at, prefix, &mut paths);
    paths
}

/// Returns the place after what was read.
fn collect_paths(
    tokens: &[Token],
    at: usize,
    prefix: &[String],
    paths: &mut Vec<Vec<String>>,
) -> usize {
    let Some(token) = tokens.get(at) else {
        return at;
    };
    if token.text == "{" {
        let mut next = at + 1;
        while tokens.get(next).is_some_and(|token| token.text != "}") {
            let end = collect_paths(tokens, next, prefix, paths);
            next = end.max(next + 1);
        }
        return next + 1;
    }
    if token.text != "*" && !is_word(&token.text) {
        return at;
    }
    let path = joined(prefix, &token.text);
    let goes_on = tokens.get(at + 1).is_some_and(|token| token.text == "::")
        && tokens.get(at + 2).is_some_and(|token| token.text != "<");
    if goes_on {
        return collect_paths(tokens, at + 2, &path, paths);
    }
    paths.push(path);
    let renamed = tokens.get(at + 1).is_some_and(|token| token.text == "as");
    at + if renamed { 3 } else { 1 }
}

/// `src/a/b.rs` and `src/a/b/mod.rs` are both the module `a::b`.
fn module_of(path: &str) -> Vec<String> {
    let path = path.strip_prefix("src/").unwrap_or(path);
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let parts = path
        .split('/')
        .filter(|part| !matches!(*part, "mod" | "lib" | "main"));
    parts.map(str::to_owned).collect()
}

fn read_folder(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            read_folder(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a Rust file is UTF-8");
            let name = path.strip_prefix(root).expect("below the root");
            sources.push(Source::parse(
                &name.to_string_lossy().replace('\\', "/"),
                text,
            ));
        }
    }
}

fn is_test(item: &Item) -> bool {
    let attributes: &[Attribute] = match item {
        Item::Mod(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Const(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        _ => &[],
    };
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .any(|attribute| {
            let condition = attribute
                .meta
                .to_token_stream()
                .to_string()
                .replace(' ', "");
            condition == "cfg(test)" || condition.starts_with("cfg(all(test,")
        })
}

fn flat(stream: TokenStream) -> Vec<Token> {
    let mut tokens = Vec::new();
    flatten(stream, &mut tokens);
    tokens
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    let mut half_colon = false;
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                tokens.push(Token {
                    text: open.into(),
                    line: group.span_open().start().line,
                });
                flatten(group.stream(), tokens);
                tokens.push(Token {
                    text: close.into(),
                    line: group.span_close().end().line,
                });
            }
            TokenTree::Punct(sign) if sign.as_char() == ':' && half_colon => {
                half_colon = false;
                tokens.push(Token {
                    text: "::".into(),
                    line,
                });
            }
            TokenTree::Punct(sign) if sign.as_char() == ':' && sign.spacing() == Spacing::Joint => {
                half_colon = true;
            }
            other => tokens.push(Token {
                text: other.to_string(),
                line,
            }),
        }
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

fn joined(prefix: &[String], last: &str) -> Vec<String> {
    prefix
        .iter()
        .cloned()
        .chain(iter::once(last.to_owned()))
        .collect()
}

#[test]
fn a_tree_of_uses_is_read_to_its_leaves() {
    let text = "crate::{zmtp::{frame, command as word}, pipe::Pipe, *}";
    let tokens = flat(text.parse().expect("tokens"));
    let paths: Vec<_> = paths_from(&tokens, 0, &[])
        .iter()
        .map(|path| path.join("::"))
        .collect();
    assert_eq!(
        paths,
        [
            "crate::zmtp::frame",
            "crate::zmtp::command",
            "crate::pipe::Pipe",
            "crate::*"
        ]
    );
}
