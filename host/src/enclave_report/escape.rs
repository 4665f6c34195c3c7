//! Names and label values that cannot break Prometheus text.

/// Letters, digits and underscores, not starting with a digit.
pub fn metric_name(text: &str) -> String {
    let mut name: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        name.insert(0, '_');
    }
    name
}

/// The same, and none of those that mean something to Prometheus itself: `le`, `quantile`, and what starts with two
/// underscores.
pub fn label_name(text: &str) -> String {
    let name = metric_name(text);
    match name.as_str() {
        "le" | "quantile" => format!("label_{name}"),
        _ => match name.strip_prefix("__") {
            Some(rest) => format!("label_{rest}"),
            None => name,
        },
    }
}

/// A label's value as it stands between quotes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push('_'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_never_have_a_name_that_means_something_else() {
        for (text, name) in [("user", "user"), ("le", "label_le"), ("__name__", "label_name__"), ("7", "_7"), ("", "_")]
        {
            assert_eq!(label_name(text), name);
        }
    }
}
