//! Examples in documents that tests made: `<!-- made by a test: FILE -->` stands before a fenced block, which must hold
//! exactly what is in that file of the repository. The file is held by the test that makes it.

const MARK: &str = "<!-- made by a test: ";

/// A block that is not what the test made, or none where there should be one.
pub fn violations(document: &str, text: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let Some(file) = file_of(line) else { continue };
        let Some(expected) = read(file) else {
            found.push(format!("{document}:{}: there is no file {file}", at + 1));
            continue;
        };
        match block(&lines, at + 1) {
            None => found.push(format!("{document}:{}: expected a fenced block in the next line", at + 1)),
            Some((start, end)) if lines[start..end].join("\n").trim_end() != expected.trim_end() => {
                found.push(format!(
                    "{document}:{}: the block is not what is in {file}: COUNTERSIGN_WRITE_GOLDEN=1 takes it over",
                    at + 1
                ))
            }
            Some(_) => {}
        }
    }
    found
}

/// The document with every block taken over from its file.
pub fn renewed(text: &str, read: &dyn Fn(&str) -> Option<String>) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut whole = String::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        whole.push_str(line);
        whole.push('\n');
        at += 1;
        let Some(expected) = file_of(line).and_then(read) else { continue };
        if let Some((start, end)) = block(&lines, at) {
            whole.push_str(&format!("{}\n{}\n{}\n", lines[start - 1], expected.trim_end(), lines[end]));
            at = end + 1;
        }
    }
    whole
}

/// Files that documents show.
pub fn files(text: &str) -> Vec<&str> {
    text.lines().filter_map(file_of).collect()
}

fn file_of(line: &str) -> Option<&str> {
    line.strip_prefix(MARK)?.strip_suffix(" -->")
}

/// First line behind the opening fence, and the line of the closing one.
fn block(lines: &[&str], fence: usize) -> Option<(usize, usize)> {
    lines.get(fence).filter(|line| line.starts_with("```"))?;
    let length = lines.get(fence + 1..)?.iter().position(|line| *line == "```")?;
    Some((fence + 1, fence + 1 + length))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TEXT: &str = "intro\n<!-- made by a test: a.txt -->\n```text\none\ntwo\n```\nend\n";

    fn read(content: &'static str) -> impl Fn(&str) -> Option<String> {
        move |file| (file == "a.txt").then(|| content.to_owned())
    }

    #[test]
    fn a_block_that_differs_is_found_and_taken_over() {
        assert_eq!(violations("d.md", TEXT, &read("one\ntwo\n")), Vec::<String>::new());
        assert_eq!(violations("d.md", TEXT, &read("one\nthree\n")).len(), 1);
        let renewed = renewed(TEXT, &read("one\nthree\n"));
        assert_eq!(renewed, TEXT.replace("two", "three"));
        assert_eq!(violations("d.md", &renewed, &read("one\nthree\n")), Vec::<String>::new());
    }

    #[test]
    fn a_missing_file_and_a_missing_block_are_found() {
        assert_eq!(violations("d.md", &TEXT.replace("a.txt", "b.txt"), &read("")).len(), 1);
        assert_eq!(violations("d.md", "<!-- made by a test: a.txt -->\nno block\n", &read("")).len(), 1);
        assert_eq!(files(TEXT), ["a.txt"]);
    }
}
