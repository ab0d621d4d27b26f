//! The Chinese README says what the English one says: the same commands, the same keys in its tables, the
//! same pages. Sentences cannot be compared by a program; what readers type can.

const ENGLISH: &str = include_str!("../../README.md");
const CHINESE: &str = include_str!("../../README.zh-CN.md");

/// What stands in the first column of tables, as code or as a link; headings and prose left out.
fn keys(readme: &str) -> Vec<&str> {
    readme
        .lines()
        .filter(|line| line.starts_with("| `") || line.starts_with("| ["))
        .filter_map(|line| line.split('|').nth(1))
        .map(str::trim)
        .collect()
}

/// Lines to type or to apply: fenced, without what is said about them, without the picture.
fn typed(readme: &str) -> Vec<&str> {
    let fenced = readme.split("```").skip(1).step_by(2);
    let lines = fenced
        .filter(|block| !block.contains('►'))
        .flat_map(str::lines);
    let plain = lines.map(|line| line.split('#').next().unwrap_or(line).trim_end());
    plain.filter(|line| !line.is_empty()).collect()
}

#[test]
fn both_readmes_have_the_same_tables_and_commands() {
    assert!(keys(ENGLISH).len() > 20 && typed(ENGLISH).len() > 10);
    assert_eq!(keys(CHINESE), keys(ENGLISH));
    assert_eq!(typed(CHINESE), typed(ENGLISH));
    let sections = |readme: &str| readme.lines().filter(|l| l.starts_with("##")).count();
    assert_eq!(sections(CHINESE), sections(ENGLISH));
}
