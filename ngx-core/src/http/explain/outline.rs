//! The directives as they were written, found by their places.

use std::collections::HashSet;

use crate::conf::{Node, SourceMap, Span};
use crate::cycle::Cycle;
use crate::module::{Registry, Slots, reread};

/// A configuration as written.
pub(super) struct Outline<'a> {
    nodes: Vec<Node>,
    files: &'a SourceMap,
}

/// A directive that has an effect in a block.
pub(super) struct Effective {
    /// As written.
    pub(super) text: String,
    pub(super) name: String,
    /// The block that it stands in.
    pub(super) block: String,
    pub(super) at: String,
}

impl<'a> Outline<'a> {
    pub(super) fn of(registry: &Registry, cycle: &'a Cycle) -> Self {
        let files = cycle.warnings().files();
        Self {
            nodes: reread(registry, cycle.record(), files),
            files,
        }
    }

    /// `file:line`
    pub(super) fn at(&self, place: Span) -> String {
        self.files.locate(place).unwrap_or_default()
    }

    /// The block that begins at `place` with those around it, the outermost first.
    pub(super) fn chain(&self, place: Span) -> Vec<&Node> {
        let mut chain = Vec::new();
        descend(&self.nodes, place, &mut chain);
        chain.reverse();
        chain
    }

    /// The block that begins at `place`.
    pub(super) fn block(&self, place: Span) -> Option<&Node> {
        self.chain(place).pop()
    }

    /// The directives that the values in `slots` come from, which are those of the block that
    /// begins at `place`: by name, and in the order of the file.
    pub(super) fn effective(&self, slots: &Slots, place: Span) -> Vec<Effective> {
        let mut places = HashSet::new();
        slots.places(&mut |span| {
            places.insert((span.file, span.start));
        });
        let mut found = Vec::new();
        let chain = self.chain(place);
        for (depth, block) in chain.iter().enumerate() {
            let nodes = block.block().unwrap_or_default();
            let told = |node: &&Node| places.contains(&key(node));
            let names: HashSet<&str> = nodes
                .iter()
                .filter(told)
                .map(|node| node.name().as_str())
                .collect();
            let here = if depth + 1 == chain.len() {
                "here".to_owned()
            } else {
                shown(block)
            };
            for node in nodes
                .iter()
                .filter(|node| names.contains(node.name().as_str()))
            {
                found.push(Effective {
                    text: shown(node),
                    name: node.name().to_string(),
                    block: here.clone(),
                    at: self.at(node.span()),
                });
            }
        }
        // Stable: lines of one directive stay in the order of the file.
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }
}

impl Outline<'_> {
    /// The directives of this name outside of all blocks that have an effect.
    pub(super) fn outside(&self, global: &Slots, name: &str) -> Vec<Effective> {
        let mut places = HashSet::new();
        global.places(&mut |span| {
            places.insert((span.file, span.start));
        });
        let named = || self.nodes.iter().filter(|node| *node.name() == *name);
        if !named().any(|node| places.contains(&key(node))) {
            return Vec::new();
        }
        let effective = |node: &Node| Effective {
            text: shown(node),
            name: name.to_owned(),
            block: "main".to_owned(),
            at: self.at(node.span()),
        };
        named().map(effective).collect()
    }
}

/// A directive in one line, as it is written but for its block.
pub(super) fn shown(node: &Node) -> String {
    let mut text = node.name().to_string();
    for word in node.values() {
        text.push(' ');
        if word.is_quoted() {
            text.push_str(&format!("{:?}", word.as_str()));
        } else {
            text.push_str(word.as_str());
        }
    }
    if node.args().raw().is_some() {
        text.push_str(" { ... }");
    }
    text
}

fn key(node: &Node) -> (crate::conf::FileId, u32) {
    (node.span().file, node.span().start)
}

fn descend<'n>(nodes: &'n [Node], place: Span, chain: &mut Vec<&'n Node>) -> bool {
    for node in nodes {
        let inside = node
            .block()
            .is_some_and(|block| descend(block, place, chain));
        if inside || key(node) == (place.file, place.start) {
            chain.push(node);
            return true;
        }
    }
    false
}
