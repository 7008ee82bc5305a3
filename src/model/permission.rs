use std::fmt;
use std::rc::Rc;

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ast::{self, Ast, Flag};

use crate::limits::{PATTERN_BYTES_MAX, PATTERN_COMPILED_BYTES_MAX};

/// Which private and presence channels a session may subscribe: a regular
/// expression in linear time ([AT-07]), anchored on both sides ([AU-16]).
///
/// Names are ASCII, and so are patterns: `\w` is `[0-9A-Za-z_]`, as in RE2. With
/// the tables of Unicode `(?i)[\x{0}-\x{10ffff}]` 200 times over, in 4 KiB, holds
/// its shard up for 20 seconds before it is found to be too large.
#[derive(Clone)]
pub struct Permission(Rc<Regex>);

impl Permission {
    /// Compiles a pattern; `None` where it is no regular expression or too
    /// large to keep. The backend sees 597.
    pub fn compile(pattern: &str) -> Option<Self> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return None;
        }
        // Alone first: `a)(b` would compile inside the anchors.
        let ast = ast::parse::Parser::new().parse(pattern).ok()?;
        ast::visit(&ast, AsciiOnly).ok()?;
        build(&format!(r"\A(?:{pattern})\z")).map(|regex| Self(Rc::new(regex)))
    }

    /// Whether the whole channel name matches.
    pub fn allows(&self, channel: &str) -> bool {
        self.0.is_match(channel.as_bytes())
    }
}

fn build(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern)
        .unicode(false)
        .size_limit(PATTERN_COMPILED_BYTES_MAX)
        .dfa_size_limit(PATTERN_COMPILED_BYTES_MAX)
        .build()
        .ok()
}

/// Refuses a pattern that asks for Unicode: `(?u)`.
struct AsciiOnly;

impl ast::Visitor for AsciiOnly {
    type Output = ();
    type Err = ();

    fn finish(self) -> Result<(), ()> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), ()> {
        let flags = match ast {
            Ast::Flags(set) => Some(&set.flags),
            Ast::Group(group) => group.flags(),
            _ => None,
        };
        match flags.and_then(|flags| flags.flag_state(Flag::Unicode)) {
            Some(true) => Err(()),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permission({})", self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, channel: &str) -> bool {
        Permission::compile(pattern).is_some_and(|permission| permission.allows(channel))
    }

    #[test]
    fn anchors_alternatives_on_both_sides_au_16() {
        assert!(allows("private-a|private-b", "private-b"));
        assert!(!allows("private-a|private-b", "private-bc"));
        assert!(!allows("private-a|private-b", "xprivate-b"));
        assert!(allows(".*", "presence-x"));
        assert!(!allows("", "private-a"));
    }

    #[test]
    fn refuses_what_does_not_compile() {
        for bad in ["(", "a)(b", "[", "*", r"(?<=a)b"] {
            assert!(Permission::compile(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn refuses_what_is_too_large() {
        assert!(Permission::compile(&"a".repeat(PATTERN_BYTES_MAX)).is_some());
        assert!(Permission::compile(&"a".repeat(PATTERN_BYTES_MAX + 1)).is_none());
        assert!(Permission::compile("((a{100}){100}){100}").is_none());
    }

    /// All that would need the tables of Unicode.
    #[test]
    fn patterns_are_ascii() {
        assert!(allows(r"private-\w+-\d\D\s*\S", "private-aB_9-1xx"));
        assert!(allows("(?i)PRIVATE-[A-Z]+", "private-a"));
        assert!(allows("(?i-u)a", "A"));
        assert!(allows("(?P<user>a)", "a"));
        assert!(allows(".[^x]", "ab"));
        assert!(allows("ä|private-a", "private-a"), "never matches");
        for bad in [
            r"\pL",
            r"\p{Greek}",
            r"(?u)\w",
            "(?iu:a)",
            "a(?u:b(c))",
            "((?s)a|(?mu)b)",
            r"[\x{0}-\x{10ffff}]",
            "[à-ü]",
        ] {
            assert!(Permission::compile(bad).is_none(), "{bad}");
        }
    }

    /// What docs/protocol.md says of RE2's syntax.
    #[test]
    fn what_is_taken_of_re2_and_what_beside_it() {
        for (pattern, name) in [
            (r"private-[0-9a-f]{8}", "private-0123abcd"),
            (r"private-(a|b)?c*?d+", "private-ccd"),
            (r"[[:alpha:]]+\-[^[:digit:]]", "private-a"),
            (r"\Aprivate\b.\w+\z", "private-a"),
            (r"^private-.$", "private-a"),
            (r"(?P<first>a)(?<second>b)(?:c)", "abc"),
            (r"(?isU)A.*?", "ab"),
            (r"\x61\x{62}\.", "ab."),
            (r"[\w.-]+", "private-a.b"),
            // Not of RE2.
            (r"[a-z&&[^b]-]+", "ac"),
            ("(?x) a b", "ab"),
            ("a**", "aa"),
        ] {
            assert!(allows(pattern, name), "{pattern}");
        }
        for of_re2 in [
            r"[\w-.]",
            r"\pL",
            r"\PN",
            r"\p{Greek}",
            r"\Qa.b\E",
            r"\101",
            r"\C",
            "[[]",
            "a{",
            "a{b}",
        ] {
            assert!(Permission::compile(of_re2).is_none(), "{of_re2}");
        }
        for of_neither in [r"(a)\1", "a(?=b)", "a(?<!b)", "(?>a)"] {
            assert!(Permission::compile(of_neither).is_none(), "{of_neither}");
        }
    }

    #[test]
    fn stays_linear_on_hostile_patterns_at_07() {
        let permission = Permission::compile("(a+)+b").expect("compiles");
        assert!(!permission.allows(&"a".repeat(255)));
    }
}
