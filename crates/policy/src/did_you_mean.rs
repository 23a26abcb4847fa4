//! "Did you mean …?", by edit distance.

use strsim::osa_distance as distance;

/// The known word nearest to this one, if it is near enough to be what was meant: about one error
/// in three letters.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // The comparison is quadratic, and a file may hold a word as long as itself.
    if word.len() > 64 {
        return None;
    }
    // Policy keys are written with `-`, and `_` in its place is a likely mistake.
    let word = word.to_lowercase().replace('_', "-");
    let near = |candidate: &&str| {
        let length = word.chars().count().max(candidate.chars().count());
        // At least one error is allowed, or short words would have no suggestion.
        distance(&word, candidate) <= (length / 3).max(1)
    };
    known
        .into_iter()
        .filter(near)
        .min_by_key(|candidate| distance(&word, candidate))
}

/// The same as a help text.
pub(crate) fn did_you_mean<'k>(
    word: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<String> {
    nearest(word, known).map(|candidate| format!("did you mean `{candidate}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_counts_as_one_error() {
        for (left, right, expected) in [
            ("max-age", "max-age", 0),
            ("max-aeg", "max-age", 1),
            ("", "abc", 3),
            ("every", "evry", 1),
            ("über", "uber", 1),
        ] {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        let known = ["max-age", "max-live", "overlap"];
        for (word, expected) in [
            ("max_age", Some("max-age")),
            ("maxage", Some("max-age")),
            ("MAX-LIVE", Some("max-live")),
            ("overlop", Some("overlap")),
            ("jitter", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(1_000_000), known), None);
    }
}
