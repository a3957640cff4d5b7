//! Advice: which name was meant, where a directive belongs, where a semicolon is missing.

use super::lexer::Word;

/// The name among `names` that is most like `typed`, if one is like it at all.
pub(crate) fn nearest<'n>(typed: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let typed = typed.to_ascii_lowercase();
    let limit = match typed.len() {
        0..=2 => return None,
        3..=4 => 1,
        5..=9 => 2,
        10..=MAX_LEN => 3,
        _ => return None,
    };
    names
        .filter(|name| name.len().abs_diff(typed.len()) <= limit)
        .map(|name| (distance(typed.as_bytes(), name.as_bytes()), name))
        .filter(|&(distance, _)| distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// The place among `values` of a word that looks like the next directive: the first on its line,
/// bare, and `is_directive`.
pub(crate) fn swallowed(
    name: &Word,
    values: &[Word],
    is_directive: impl Fn(&str) -> bool,
) -> Option<usize> {
    let mut line = name.span().line;
    for (i, word) in values.iter().enumerate() {
        let span = word.span();
        if span.line > line && !word.is_quoted() && is_directive(word.as_str()) {
            return Some(i);
        }
        line = span.line;
    }
    None
}

const MAX_LEN: usize = 64;

/// Steps from one name to another: an exchange of neighbours, a changed, a missing or an extra
/// letter each count one.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, &left) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(above.len());
        row.push(i + 1);
        for (j, &right) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let mut best = at(&above, j) + usize::from(left != right);
            best = best.min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            let swapped =
                i > 0 && j > 0 && a.get(i - 1) == Some(&right) && b.get(j - 1) == Some(&left);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_names_are_recognised() {
        let names = ["proxy_pass", "root", "listen", "server_name", "server"];
        let nearest = |typed| nearest(typed, names.into_iter());
        assert_eq!(nearest("prox_pass"), Some("proxy_pass"));
        assert_eq!(nearest("proxypass"), Some("proxy_pass"));
        assert_eq!(nearest("Listen"), Some("listen"));
        assert_eq!(nearest("lsiten"), Some("listen"));
        assert_eq!(nearest("rooot"), Some("root"));
        assert_eq!(nearest("serv_name"), Some("server_name"));
        assert_eq!(nearest("sevrer"), Some("server"));
        assert_eq!(nearest("gzip"), None);
        assert_eq!(nearest("ro"), None);
    }

    #[test]
    fn distances_are_counted_in_steps() {
        assert_eq!(distance(b"", b"abc"), 3);
        assert_eq!(distance(b"abc", b"abc"), 0);
        assert_eq!(distance(b"abc", b"acb"), 1);
        assert_eq!(distance(b"kitten", b"sitting"), 3);
    }
}
