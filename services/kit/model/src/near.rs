//! What was perhaps meant by a name that is none.

/// Most letters of a name that are looked at.
const LONGEST: usize = 64;
/// Most names that are told.
const MOST: usize = 3;

/// How near a name is: whether it is the same but for a letter, or holds the other (`memory` and `memory_bytes`), be that one or many, and how
/// many letters have to be put in, taken out, changed or swapped with the next (the optimal string alignment distance).
type Far = (u8, usize);

fn plain(name: &str) -> String {
    name.chars().take(LONGEST).filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

fn far(wrong: &str, name: &str) -> Far {
    let name = plain(name);
    let distance = strsim::osa_distance(wrong, &name);
    let holds = |whole: &str, part: &str| part.len() >= 3 && whole.contains(part.trim_end_matches('s'));
    match distance {
        0 | 1 => (0, distance),
        _ if holds(&name, wrong) || holds(wrong, &name) => (1, distance),
        _ => (2, distance),
    }
}

/// The names that look most like a wrong one, at most three; none where none looks like it.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let wrong = plain(wrong);
    let looks_like = |(rank, distance): Far| rank < 2 || distance <= 1 + wrong.len() / 4;
    let mut near: Vec<_> = names.into_iter().map(|name| (far(&wrong, name), name)).collect();
    near.retain(|(far, _)| looks_like(*far));
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(MOST).map(|(_, name)| name).collect()
}

/// The name that looks most like a wrong one, however little.
pub fn closest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = plain(wrong);
    names.into_iter().min_by_key(|name| (far(&wrong, name), *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let known = ["filter", "orderBy", "pageSize", "pageToken"];
        assert_eq!(nearest("page_size", known), ["pageSize"]);
        assert_eq!(nearest("fliter", known), ["filter"]);
        assert!(nearest("colour", known).is_empty());
        assert_eq!(nearest("web1", ["web-1", "web-2", "db"]), ["web-1", "web-2"]);
        assert_eq!(nearest("debian", ["debian-13", "alpine"]), ["debian-13"]);
        assert!(nearest("x", ["debian-13"]).is_empty());
    }

    #[test]
    fn what_holds_a_name_is_nearer_than_what_has_letters_of_it() {
        let known = ["name", "memory_bytes", "cpu_count", "create_time"];
        assert_eq!(closest("memory", known), Some("memory_bytes"));
        assert_eq!(closest("nmae", known), Some("name"));
        assert_eq!(closest("cpus", known), Some("cpu_count"));
        assert_eq!(closest("x", []), None);
    }
}
