//! From a method and a path to a call: a tree over the segments of all templates, built once.
//!
//! Looking up allocates nothing: the segments of a path are kept as slices in an array on the stack. A word is preferred to
//! `*`, and `*` to `**`; where a branch leads nowhere the next is tried.

use http::Method;

use super::template::{Segment, Template};

/// Most segments that a path may have.
const MOST_SEGMENTS: usize = 10;

/// The segments of a path; the verb is cut off from the last.
#[derive(Debug, Clone, Copy)]
pub struct Segments<'a> {
    parts: [&'a str; MOST_SEGMENTS],
    count: usize,
    /// The verb after the last colon; empty where there is none.
    verb: &'a str,
}

impl<'a> Segments<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let mut segments = Self { parts: [""; MOST_SEGMENTS], count: 0, verb: "" };
        for part in path.strip_prefix('/')?.split('/') {
            *segments.parts.get_mut(segments.count)? = part;
            segments.count += 1;
        }
        Some(segments)
    }

    /// The same with the verb cut off, where the last segment has one.
    fn with_verb(mut self) -> Option<Self> {
        let last = self.parts.get_mut(self.count.checked_sub(1)?)?;
        let (before, verb) = last.rsplit_once(':')?;
        *last = before;
        self.verb = verb;
        Some(self)
    }

    /// The segments in a range.
    pub fn range(&self, range: std::ops::Range<usize>) -> &[&'a str] {
        let end = range.end.min(self.count);
        self.parts.get(range.start..end).unwrap_or_default()
    }
}

/// What a path leads to.
#[derive(Debug)]
pub enum Found<'a> {
    /// A call, by its number, and the segments that its variables take.
    Call(usize, Segments<'a>),
    /// The path is known, with other methods.
    WrongMethod(Vec<Method>),
    /// The resource is known, the verb is not; these are.
    WrongVerb(&'a str, Vec<String>),
    /// Nothing.
    Nothing,
}

#[derive(Debug, Default)]
struct Node {
    words: Vec<(String, Node)>,
    one: Option<Box<Node>>,
    rest: Option<Box<Node>>,
    ends: Vec<End>,
}

#[derive(Debug)]
struct End {
    verb: String,
    calls: Vec<(Method, usize)>,
}

/// All routes.
#[derive(Debug, Default)]
pub struct Routes {
    root: Node,
}

impl Routes {
    /// Adds the route to a call.
    ///
    /// # Errors
    /// When the same method and path lead to another call already.
    pub fn add(&mut self, method: Method, template: &Template, call: usize) -> Result<(), String> {
        let mut node = &mut self.root;
        for segment in &template.segments {
            node = match segment {
                Segment::Word(word) => {
                    let at = match node.words.binary_search_by(|(known, _)| known.as_str().cmp(word)) {
                        Ok(at) => at,
                        Err(at) => {
                            node.words.insert(at, (word.clone(), Node::default()));
                            at
                        }
                    };
                    &mut node.words[at].1
                }
                Segment::One => node.one.get_or_insert_default(),
                Segment::Rest => node.rest.get_or_insert_default(),
            };
        }
        let end = match node.ends.iter().position(|end| end.verb == template.verb) {
            Some(at) => &mut node.ends[at],
            None => {
                node.ends.push(End { verb: template.verb.clone(), calls: Vec::new() });
                let last = node.ends.len() - 1;
                &mut node.ends[last]
            }
        };
        if end.calls.iter().any(|(known, _)| *known == method) {
            return Err(format!("two calls have the route {method} {template:?}"));
        }
        end.calls.push((method, call));
        Ok(())
    }

    /// What a method and a path lead to.
    pub fn find<'a>(&self, method: &Method, path: &'a str) -> Found<'a> {
        let Some(plain) = Segments::of(path) else { return Found::Nothing };
        let verbed = plain.with_verb();
        if let Some(segments) = verbed
            && let Some(node) = walk(&self.root, &segments, 0, segments.verb)
        {
            return choose(node, method, segments);
        }
        // A resource with verbs whose verb nobody knows: the colon is hardly a part of an id.
        if let Some(segments) = verbed
            && let Some(node) = walk_any(&self.root, &segments, 0)
            && node.ends.iter().any(|end| !end.verb.is_empty())
        {
            let verbs = node.ends.iter().filter(|end| !end.verb.is_empty());
            return Found::WrongVerb(segments.verb, verbs.map(|end| end.verb.clone()).collect());
        }
        match walk(&self.root, &plain, 0, "") {
            Some(node) => choose(node, method, plain),
            None => Found::Nothing,
        }
    }
}

fn choose<'a>(node: &Node, method: &Method, segments: Segments<'a>) -> Found<'a> {
    let Some(end) = node.ends.iter().find(|end| end.verb == segments.verb) else { return Found::Nothing };
    let known = |method: &Method| end.calls.iter().find(|(known, _)| known == method).map(|(_, call)| *call);
    if let Some(call) = known(method) {
        return Found::Call(call, segments);
    }
    if method == Method::HEAD
        && let Some(call) = known(&Method::GET)
    {
        return Found::Call(call, segments);
    }
    Found::WrongMethod(end.calls.iter().map(|(method, _)| method.clone()).collect())
}

/// The node at the end of a path that has an end with this verb.
fn walk<'n>(node: &'n Node, segments: &Segments<'_>, at: usize, verb: &str) -> Option<&'n Node> {
    descend(node, segments, at, &|node| node.ends.iter().any(|end| end.verb == verb))
}

/// The node at the end of a path that has any end.
fn walk_any<'n>(node: &'n Node, segments: &Segments<'_>, at: usize) -> Option<&'n Node> {
    descend(node, segments, at, &|node| !node.ends.is_empty())
}

fn descend<'n>(node: &'n Node, segments: &Segments<'_>, at: usize, fits: &dyn Fn(&Node) -> bool) -> Option<&'n Node> {
    if at == segments.count {
        return fits(node).then_some(node);
    }
    let part = segments.parts[at];
    if let Ok(word) = node.words.binary_search_by(|(known, _)| known.as_str().cmp(part))
        && let Some(found) = descend(&node.words[word].1, segments, at + 1, fits)
    {
        return Some(found);
    }
    if part.is_empty() {
        return None;
    }
    if let Some(one) = &node.one
        && let Some(found) = descend(one, segments, at + 1, fits)
    {
        return Some(found);
    }
    node.rest.as_deref().filter(|rest| fits(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes {
        let mut routes = Routes::default();
        for (call, (method, path)) in [
            (Method::GET, "/v1/vms"),
            (Method::POST, "/v1/vms"),
            (Method::GET, "/v1/vms/{uuid}"),
            (Method::PATCH, "/v1/vms/{vm.uuid}"),
            (Method::POST, "/v1/vms/{uuid}:stop"),
            (Method::GET, "/v1/vms/special"),
            (Method::GET, "/v1/files/{path=**}"),
        ]
        .into_iter()
        .enumerate()
        {
            routes.add(method, &Template::parse(path).unwrap(), call).unwrap();
        }
        routes
    }

    fn call(method: Method, path: &str) -> Option<(usize, Vec<String>)> {
        match routes().find(&method, path) {
            Found::Call(call, segments) => {
                Some((call, segments.range(2..usize::MAX).iter().map(|part| (*part).to_owned()).collect()))
            }
            _ => None,
        }
    }

    #[test]
    fn paths_lead_to_calls() {
        assert_eq!(call(Method::GET, "/v1/vms"), Some((0, vec![])));
        assert_eq!(call(Method::POST, "/v1/vms"), Some((1, vec![])));
        assert_eq!(call(Method::GET, "/v1/vms/abc"), Some((2, vec!["abc".into()])));
        assert_eq!(call(Method::HEAD, "/v1/vms/abc"), Some((2, vec!["abc".into()])));
        assert_eq!(call(Method::PATCH, "/v1/vms/abc"), Some((3, vec!["abc".into()])));
        assert_eq!(call(Method::POST, "/v1/vms/abc:stop"), Some((4, vec!["abc".into()])));
        assert_eq!(call(Method::GET, "/v1/vms/special"), Some((5, vec!["special".into()])));
        assert_eq!(call(Method::GET, "/v1/files/a/b/c"), Some((6, vec!["a".into(), "b".into(), "c".into()])));
        assert_eq!(call(Method::GET, "/v1/vms/"), None);
        assert_eq!(call(Method::GET, "/v1/vms/a/b"), None);
        assert_eq!(call(Method::GET, "v1"), None);
        assert_eq!(call(Method::GET, &"/a".repeat(100)), None);
    }

    #[test]
    fn near_misses_say_what_there_is() {
        let routes = routes();
        let Found::WrongMethod(allowed) = routes.find(&Method::DELETE, "/v1/vms/abc") else { panic!() };
        assert_eq!(allowed, [Method::GET, Method::PATCH]);
        let Found::WrongMethod(allowed) = routes.find(&Method::GET, "/v1/vms/abc:stop") else { panic!() };
        assert_eq!(allowed, [Method::POST]);
        let Found::WrongVerb(verb, known) = routes.find(&Method::POST, "/v1/vms/abc:stpo") else { panic!() };
        assert_eq!((verb, known), ("stpo", vec!["stop".to_owned()]));
        assert!(matches!(routes.find(&Method::GET, "/v1/files/a:b"), Found::Call(6, _)));
    }

    #[test]
    fn two_calls_cannot_share_a_route() {
        let mut routes = routes();
        assert!(routes.add(Method::GET, &Template::parse("/v1/vms/{id}").unwrap(), 9).is_err());
    }
}
