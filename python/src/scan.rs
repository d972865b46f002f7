//! Finding the bytes that end or interrupt a JSON string, sixteen at a time.

const BLOCK: usize = 16;

/// A set of ASCII bytes to look for.
pub(crate) trait ByteSet {
    fn has(byte: u8) -> bool;

    /// One bit for each byte of `block` that is in the set, the first byte lowest.
    fn marks(block: &[u8; BLOCK]) -> u32;
}

/// What must be escaped inside a literal: quote, backslash, control characters.
pub(crate) struct Escaped;

impl ByteSet for Escaped {
    #[inline(always)]
    fn has(byte: u8) -> bool {
        byte < 0x20 || byte == b'"' || byte == b'\\'
    }

    #[inline(always)]
    fn marks(block: &[u8; BLOCK]) -> u32 {
        #[cfg(target_arch = "x86_64")]
        return sse2::marks_equal(block, [b'"', b'\\']) | sse2::marks_control(block);
        #[cfg(not(target_arch = "x86_64"))]
        return marks_one_by_one::<Self>(block);
    }
}

/// What ends a run of plain characters in a literal: quote, backslash.
pub(crate) struct Delimiter;

impl ByteSet for Delimiter {
    #[inline(always)]
    fn has(byte: u8) -> bool {
        byte == b'"' || byte == b'\\'
    }

    #[inline(always)]
    fn marks(block: &[u8; BLOCK]) -> u32 {
        #[cfg(target_arch = "x86_64")]
        return sse2::marks_equal(block, [b'"', b'\\']);
        #[cfg(not(target_arch = "x86_64"))]
        return marks_one_by_one::<Self>(block);
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn marks_one_by_one<S: ByteSet>(block: &[u8; BLOCK]) -> u32 {
    block.iter().rev().fold(0, |marks, &byte| marks << 1 | u32::from(S::has(byte)))
}

/// Every x86-64 processor has SSE2, so nothing is detected at run time.
#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_max_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };

    #[inline(always)]
    fn load(block: &[u8; super::BLOCK]) -> __m128i {
        // SAFETY: the reference covers the 16 bytes, and the load has no alignment to keep.
        unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
    }

    #[inline(always)]
    pub(super) fn marks_equal(block: &[u8; super::BLOCK], [one, other]: [u8; 2]) -> u32 {
        let block = load(block);
        // SAFETY: SSE2 is part of x86-64.
        unsafe {
            let one = _mm_cmpeq_epi8(block, _mm_set1_epi8(one.cast_signed()));
            let other = _mm_cmpeq_epi8(block, _mm_set1_epi8(other.cast_signed()));
            _mm_movemask_epi8(_mm_or_si128(one, other)).cast_unsigned()
        }
    }

    #[inline(always)]
    pub(super) fn high_bits(block: &[u8; super::BLOCK]) -> u32 {
        let block = load(block);
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_movemask_epi8(block).cast_unsigned() }
    }

    #[inline(always)]
    pub(super) fn marks_control(block: &[u8; super::BLOCK]) -> u32 {
        let block = load(block);
        // SAFETY: SSE2 is part of x86-64.
        unsafe {
            let highest = _mm_set1_epi8(0x1f);
            // There is no unsigned comparison: a byte is at most 0x1f where the larger of both is 0x1f.
            _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_max_epu8(block, highest), highest)).cast_unsigned()
        }
    }
}

/// The index of the first byte of `bytes` in the set, or the length.
#[inline]
pub(crate) fn find<S: ByteSet>(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(block) = bytes[at..].first_chunk() {
        if let Some(offset) = first_in::<S>(block) {
            return at + offset;
        }
        at += BLOCK;
    }
    match bytes.last_chunk() {
        // Looks at some bytes twice, which are known to be clean.
        Some(block) => first_in::<S>(block).map_or(bytes.len(), |offset| bytes.len() + offset - BLOCK),
        None => find_in_short::<S>(bytes),
    }
}

/// The index of the first quote or backslash of `bytes`, or the length; and whether everything before it is ASCII.
#[inline]
pub(crate) fn find_delimiter(bytes: &[u8]) -> (usize, bool) {
    let mut at = 0;
    let mut wide = 0;
    while let Some(block) = bytes[at..].first_chunk() {
        let (marks, high) = (Delimiter::marks(block), high_bits(block));
        if marks != 0 {
            let offset = marks.trailing_zeros();
            return (at + offset as usize, wide | (high & ((1 << offset) - 1)) == 0);
        }
        wide |= high;
        at += BLOCK;
    }
    let length = find_in_short::<Delimiter>(&bytes[at..]);
    (at + length, wide == 0 && bytes[at..at + length].is_ascii())
}

/// One bit for each byte of `block` that is not ASCII, the first byte lowest.
#[inline(always)]
fn high_bits(block: &[u8; BLOCK]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    return sse2::high_bits(block);
    #[cfg(not(target_arch = "x86_64"))]
    return block.iter().rev().fold(0, |marks, &byte| marks << 1 | u32::from(byte >> 7));
}

#[inline(always)]
fn first_in<S: ByteSet>(block: &[u8; BLOCK]) -> Option<usize> {
    let marks = S::marks(block);
    (marks != 0).then(|| marks.trailing_zeros() as usize)
}

/// `find` in fewer bytes than a block: the first and the last half of a block overlap to make a whole one.
#[inline(always)]
fn find_in_short<S: ByteSet>(bytes: &[u8]) -> usize {
    let (Some(head), Some(tail)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) else {
        return bytes.iter().position(|&byte| S::has(byte)).unwrap_or(bytes.len());
    };
    let both = u128::from(u64::from_le_bytes(*head)) | u128::from(u64::from_le_bytes(*tail)) << 64;
    match first_in::<S>(&both.to_le_bytes()) {
        Some(offset) if offset < 8 => offset,
        Some(offset) => bytes.len() + offset - BLOCK,
        None => bytes.len(),
    }
}

/// Appends `text` as a JSON string literal. Only what JSON demands is escaped; everything else stays UTF-8.
pub(crate) fn push_literal(out: &mut String, text: &str) {
    out.reserve(text.len() + 2);
    out.push('"');
    let mut rest = text;
    loop {
        // Specials are ASCII, so both cuts fall on character boundaries.
        let (clean, tail) = rest.split_at(find::<Escaped>(rest.as_bytes()));
        out.push_str(clean);
        let Some(&special) = tail.as_bytes().first() else { break };
        push_escape(out, special);
        rest = &tail[1..];
    }
    out.push('"');
}

fn push_escape(out: &mut String, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => out.push_str("\\\""),
        b'\\' => out.push_str("\\\\"),
        b'\n' => out.push_str("\\n"),
        b'\r' => out.push_str("\\r"),
        b'\t' => out.push_str("\\t"),
        0x08 => out.push_str("\\b"),
        0x0c => out.push_str("\\f"),
        _ => {
            out.push_str("\\u00");
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}
