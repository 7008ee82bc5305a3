use std::borrow::Cow;

use super::{JsonString, Members, Names, is_space};
use crate::limits::JSON_DEPTH_MAX;

/// One pass over a JSON text (RFC 8259, strictly): each step checks what it
/// takes and leaves the cursor behind it. `None` from any step means that the
/// text is no JSON. Steps of a few instructions are always inlined: calling them
/// takes as long as they do.
pub(in crate::wire) struct Scan<'a> {
    text: &'a str,
    at: usize,
}

/// A value as it stands in the text.
#[derive(Clone, Copy, Debug)]
pub(in crate::wire) enum Value<'a> {
    String(JsonString<'a>),
    Object(Members<'a>),
    /// An array, a number, `true`, `false` or `null`.
    Other(&'a str),
}

impl<'a> Scan<'a> {
    pub(in crate::wire) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next value, standing inside `depth` open objects and arrays.
    #[inline]
    pub(in crate::wire) fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        let start = self.at;
        match self.peek()? {
            b'"' => return self.string().map(Value::String),
            b'{' => {
                let names = self.container(depth)?;
                return self.members_from(start, names).map(Value::Object);
            }
            b'[' => {
                self.container(depth)?;
            }
            _ => self.scalar()?,
        }
        self.text.get(start..self.at).map(Value::Other)
    }

    /// What stands between the braces of the object that began at `start` and
    /// has just been taken.
    fn members_from(&self, start: usize, names: Names) -> Option<Members<'a>> {
        let inside = self.text.get(start + 1..self.at - 1)?;
        Some(Members::named(inside, names))
    }

    /// Skips one value and returns its text.
    pub(in crate::wire) fn raw_value(&mut self, depth: usize) -> Option<&'a str> {
        let start = self.at;
        self.value(depth)?;
        self.text.get(start..self.at)
    }

    /// A whole object: `member` is called behind each name and takes the value.
    /// Returns what stands between the braces.
    #[inline]
    pub(in crate::wire) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Cow<'a, [u8]>) -> Option<()>,
    ) -> Option<Members<'a>> {
        let start = self.at;
        self.take(b'{')?;
        self.skip_space();
        if self.take(b'}').is_none() {
            loop {
                let name = self.plain_name()?;
                member(self, name)?;
                self.skip_space();
                match self.next()? {
                    b',' => self.skip_space(),
                    b'}' => break,
                    _ => return None,
                }
            }
        }
        // Whoever splices all of it is rare, and may look at the names again.
        self.members_from(start, Names::UNKNOWN)
    }

    /// A member's name and the colon behind it.
    pub(in crate::wire) fn name(&mut self) -> Option<JsonString<'a>> {
        let name = self.string()?;
        self.colon()?;
        Some(name)
    }

    /// The same, as the bytes that the name says.
    #[inline(always)]
    pub(in crate::wire) fn plain_name(&mut self) -> Option<Cow<'a, [u8]>> {
        let start = self.at;
        let escaped = self.skip_string()?;
        let name = if escaped {
            self.unescaped(start)?
        } else {
            Cow::Borrowed(self.text.as_bytes().get(start + 1..self.at - 1)?)
        };
        self.colon()?;
        Some(name)
    }

    /// What the string says that began at `start` and has just been taken.
    #[cold]
    fn unescaped(&self, start: usize) -> Option<Cow<'a, [u8]>> {
        let raw = self.text.get(start..self.at)?;
        let said = JsonString { raw, escaped: true }.unescape();
        Some(Cow::Owned(said.into_owned().into_bytes()))
    }

    #[inline(always)]
    fn colon(&mut self) -> Option<()> {
        self.skip_space();
        self.take(b':')?;
        self.skip_space();
        Some(())
    }

    #[inline]
    pub(in crate::wire) fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    #[inline]
    pub(in crate::wire) fn skip_space(&mut self) {
        // Most writers put none, and no other token begins so low.
        while let Some(byte @ ..=b' ') = self.peek() {
            if !is_space(byte) {
                break;
            }
            self.at += 1;
        }
    }

    /// Nothing but white space may follow the text's one value.
    pub(in crate::wire) fn end(&mut self) -> Option<()> {
        self.skip_space();
        self.is_at_end().then_some(())
    }

    pub(in crate::wire) fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// An object or array with all that is in it, without recursion: a hostile
    /// text costs no stack. Tells the names of the outermost object.
    fn container(&mut self, depth: usize) -> Option<Names> {
        let mut names = Names::NONE;
        let mut open = Nesting::inside(depth);
        loop {
            match self.peek()? {
                b'{' => {
                    self.at += 1;
                    self.skip_space();
                    open.push(true)?;
                    if self.take(b'}').is_none() {
                        self.skip_name(&open, &mut names)?;
                        continue;
                    }
                    open.pop();
                }
                b'[' => {
                    self.at += 1;
                    self.skip_space();
                    open.push(false)?;
                    if self.take(b']').is_none() {
                        continue;
                    }
                    open.pop();
                }
                b'"' => {
                    self.skip_string()?;
                }
                _ => self.scalar()?,
            }
            // A value has ended: close what ends with it, up to the next one.
            loop {
                let Some(in_object) = open.innermost() else {
                    return Some(names);
                };
                self.skip_space();
                match self.next()? {
                    b',' => {
                        self.skip_space();
                        if in_object {
                            self.skip_name(&open, &mut names)?;
                        }
                        break;
                    }
                    b'}' if in_object => open.pop(),
                    b']' if !in_object => open.pop(),
                    _ => return None,
                }
            }
        }
    }

    #[inline]
    fn skip_name(&mut self, open: &Nesting, names: &mut Names) -> Option<()> {
        let start = self.at + 1;
        let escaped = self.skip_string()?;
        if open.open == 1 {
            if escaped {
                *names = Names::UNKNOWN;
            } else {
                names.put(self.text.as_bytes().get(start..self.at - 1)?);
            }
        }
        self.colon()
    }

    fn scalar(&mut self) -> Option<()> {
        match self.peek()? {
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => self.number(),
        }
    }

    fn literal(&mut self, word: &str) -> Option<()> {
        self.text.as_bytes()[self.at..]
            .starts_with(word.as_bytes())
            .then(|| self.at += word.len())
    }

    fn number(&mut self) -> Option<()> {
        let _sign = self.take(b'-');
        match self.next()? {
            b'0' => {}
            b'1'..=b'9' => self.skip_digits(),
            _ => return None,
        }
        if self.take(b'.').is_some() {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        self.skip_digits();
        (self.at > start).then_some(())
    }

    fn skip_digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    #[inline(always)]
    fn string(&mut self) -> Option<JsonString<'a>> {
        let start = self.at;
        let escaped = self.skip_string()?;
        let raw = self.text.get(start..self.at)?;
        Some(JsonString { raw, escaped })
    }

    /// Tells whether there are escapes in it.
    #[inline(always)]
    fn skip_string(&mut self) -> Option<bool> {
        self.take(b'"')?;
        self.at = skip_plain(self.text.as_bytes(), self.at);
        if self.take(b'"').is_some() {
            return Some(false);
        }
        self.rest_of_string()?;
        Some(true)
    }

    /// From a string's first escape on up to its end.
    #[inline(never)]
    fn rest_of_string(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        loop {
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => {}
                _control => return None,
            }
            match self.next()? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                b'u' => {
                    let digits = bytes.get(self.at..self.at + 4)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                    self.at += 4;
                }
                _ => return None,
            }
            self.at = skip_plain(bytes, self.at);
        }
    }
}

/// Which of the open containers are objects, one bit each.
struct Nesting {
    objects: [u64; JSON_DEPTH_MAX.div_ceil(64)],
    open: usize,
    /// Containers around the outermost of these.
    around: usize,
}

impl Nesting {
    fn inside(depth: usize) -> Self {
        Self {
            objects: [0; JSON_DEPTH_MAX.div_ceil(64)],
            open: 0,
            around: depth,
        }
    }

    fn push(&mut self, object: bool) -> Option<()> {
        if self.around + self.open >= JSON_DEPTH_MAX {
            return None;
        }
        let bit = 1 << (self.open % 64);
        let word = &mut self.objects[self.open / 64];
        *word = if object { *word | bit } else { *word & !bit };
        self.open += 1;
        Some(())
    }

    fn pop(&mut self) {
        self.open -= 1;
    }

    fn innermost(&self) -> Option<bool> {
        let index = self.open.checked_sub(1)?;
        Some(self.objects[index / 64] >> (index % 64) & 1 == 1)
    }
}

/// The first place from `at` on that holds a quote, a backslash or a control
/// character; the end where none does. Eight bytes at a step, 64 once it is long.
#[inline(always)]
pub(super) fn skip_plain(bytes: &[u8], mut at: usize) -> usize {
    let long = at + 64;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let special = special_lanes(u64::from_le_bytes(*chunk));
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
        if at >= long {
            break;
        }
    }
    skip_plain_long(bytes, at)
}

#[inline(never)]
fn skip_plain_long(bytes: &[u8], at: usize) -> usize {
    let (blocks, _) = bytes[at..].as_chunks::<64>();
    let at = at + 64 * blocks.iter().take_while(|block| is_plain(block)).count();
    let (words, rest) = bytes[at..].as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let special = special_lanes(u64::from_le_bytes(*word));
        if special != 0 {
            return at + 8 * index + special.trailing_zeros() as usize / 8;
        }
    }
    let plain = rest.iter().take_while(|&&byte| !is_special(byte)).count();
    bytes.len() - rest.len() + plain
}

/// The compiler makes vector code of it.
fn is_plain(block: &[u8; 64]) -> bool {
    !block
        .iter()
        .fold(false, |any, &byte| any | is_special(byte))
}

/// Ends the plain part of a string: one comparison for control characters and
/// the quote, which the second bit sets apart from the space and `!` between them.
fn is_special(byte: u8) -> bool {
    (byte ^ 2 <= b' ') | (byte == b'\\')
}

/// Sets the top bit of each byte that is special. Borrows run upwards only, so
/// the lowest bit set is always right; those above it may not be.
fn special_lanes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let low = (word ^ (ONES * 2)).wrapping_sub(ONES * 0x21);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    // Bytes beyond ASCII have their top bit, whatever it is set to above.
    (low | backslash) & !word & (ONES * 0x80)
}
