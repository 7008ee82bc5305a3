use super::{JsonString, Members};
use crate::limits::JSON_DEPTH_MAX;

/// One pass over a JSON text (RFC 8259, strictly): each step checks what it
/// takes and leaves the cursor behind it. `None` from any step means that the
/// text is no JSON.
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
    pub(in crate::wire) fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        let start = self.at;
        match self.peek()? {
            b'"' => return self.string().map(Value::String),
            b'{' | b'[' => self.container(depth)?,
            _ => self.scalar()?,
        }
        let raw = &self.text[start..self.at];
        Some(match Members::inside(raw) {
            Some(members) => Value::Object(members),
            None => Value::Other(raw),
        })
    }

    /// Skips one value and returns its text.
    pub(in crate::wire) fn raw_value(&mut self, depth: usize) -> Option<&'a str> {
        let start = self.at;
        self.value(depth)?;
        Some(&self.text[start..self.at])
    }

    /// A whole object: `member` is called behind each name and takes the value.
    /// Returns what stands between the braces.
    pub(in crate::wire) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, JsonString<'a>) -> Option<()>,
    ) -> Option<Members<'a>> {
        let start = self.at;
        self.take(b'{')?;
        self.skip_space();
        if self.take(b'}').is_none() {
            loop {
                let name = self.name()?;
                member(self, name)?;
                self.skip_space();
                match self.next()? {
                    b',' => self.skip_space(),
                    b'}' => break,
                    _ => return None,
                }
            }
        }
        Members::inside(&self.text[start..self.at])
    }

    /// A member's name and the colon behind it.
    pub(in crate::wire) fn name(&mut self) -> Option<JsonString<'a>> {
        let name = self.string()?;
        self.skip_space();
        self.take(b':')?;
        self.skip_space();
        Some(name)
    }

    pub(in crate::wire) fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    pub(in crate::wire) fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
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
    /// text costs no stack.
    fn container(&mut self, depth: usize) -> Option<()> {
        let mut open = Nesting::inside(depth);
        loop {
            match self.peek()? {
                b'{' => {
                    self.at += 1;
                    self.skip_space();
                    open.push(true)?;
                    if self.take(b'}').is_none() {
                        self.name()?;
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
                    self.string()?;
                }
                _ => self.scalar()?,
            }
            // A value has ended: close what ends with it, up to the next one.
            loop {
                let Some(in_object) = open.innermost() else {
                    return Some(());
                };
                self.skip_space();
                match self.next()? {
                    b',' => {
                        self.skip_space();
                        if in_object {
                            self.name()?;
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

    fn string(&mut self) -> Option<JsonString<'a>> {
        let start = self.at;
        self.take(b'"')?;
        let bytes = self.text.as_bytes();
        let mut escaped = false;
        loop {
            self.at = skip_plain(bytes, self.at);
            match self.next()? {
                b'"' => break,
                b'\\' => escaped = true,
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
        }
        Some(JsonString {
            raw: &self.text[start..self.at],
            escaped,
        })
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
pub(super) fn skip_plain(bytes: &[u8], mut at: usize) -> usize {
    let mut long = at + 64;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let special = special_lanes(u64::from_le_bytes(*chunk));
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
        if at >= long {
            at = skip_plain_blocks(bytes, at);
            long = at + 64;
        }
    }
    while bytes
        .get(at)
        .is_some_and(|&byte| byte >= 0x20 && byte != b'"' && byte != b'\\')
    {
        at += 1;
    }
    at
}

/// Skips blocks without a special byte; the compiler makes vector code of it.
fn skip_plain_blocks(bytes: &[u8], at: usize) -> usize {
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    let (blocks, _) = bytes[at..].as_chunks::<64>();
    let is_plain = |block: &&[u8; 64]| !block.iter().fold(false, |any, byte| any | special(byte));
    at + 64 * blocks.iter().take_while(is_plain).count()
}

/// Sets the top bit of each byte that is special. Borrows run upwards only, so
/// the lowest bit set is always right; those above it may not be.
fn special_lanes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES * 0x80;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let below = |lanes: u64, bound: u64| lanes.wrapping_sub(ONES * bound) & !lanes;
    (below(quote, 1) | below(backslash, 1) | below(word, 0x20)) & TOPS
}
