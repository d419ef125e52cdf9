//! QR codes, for a terminal and as a picture. What is in one may be a secret: neither form is kept.

use std::io;

use qrcode::{Color, QrCode, render::unicode};
use thiserror::Error;

/// Pixels to a module of the picture.
const SCALE: usize = 8;
/// Light modules round the code (ISO/IEC 18004 section 5.3.8).
const QUIET: usize = 4;

/// A text that no QR code can hold, or a picture that cannot be written.
#[derive(Debug, Error)]
pub enum QrError {
    /// It is too long.
    #[error("the text is too long for a QR code")]
    TooLong,
    /// The picture could not be written.
    #[error("write a QR code")]
    Picture(#[from] png::EncodingError),
}

/// `text` as a QR code of half-block characters, with its quiet zone: dark on light, whatever the
/// terminal's own colours are taken for.
///
/// # Errors
/// [`QrError::TooLong`]
pub fn text(text: &str) -> Result<String, QrError> {
    let code = QrCode::new(text).map_err(|_| QrError::TooLong)?;
    let mut renderer = code.render::<unicode::Dense1x2>();
    // A terminal is dark: what is printed is light.
    renderer.dark_color(unicode::Dense1x2::Light).light_color(unicode::Dense1x2::Dark);
    Ok(renderer.quiet_zone(true).build())
}

/// `text` as a QR code in a PNG picture.
///
/// # Errors
/// [`QrError::TooLong`]
pub fn png(text: &str) -> Result<Vec<u8>, QrError> {
    let code = QrCode::new(text).map_err(|_| QrError::TooLong)?;
    let (width, modules) = (code.width(), code.to_colors());
    let side = (width + 2 * QUIET) * SCALE;
    let is_dark = |x: usize, y: usize| {
        let module = |at: usize| (at / SCALE).checked_sub(QUIET).filter(|at| *at < width);
        matches!((module(x), module(y)), (Some(x), Some(y)) if modules[y * width + x] == Color::Dark)
    };
    let pixels: Vec<u8> =
        (0..side * side).map(|n| if is_dark(n % side, n / side) { 0 } else { u8::MAX }).collect();
    let mut bytes = Vec::new();
    // The largest code has 177 modules: a side always fits.
    let side = u32::try_from(side).map_err(io::Error::other).map_err(png::EncodingError::from)?;
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(bytes)
}

/// `text` as a QR code for a page: the side of its square in units, its quiet zone included, and
/// the path of its dark modules (SVG 2 section 9.3).
///
/// # Errors
/// [`QrError::TooLong`]
pub fn path(text: &str) -> Result<(usize, String), QrError> {
    let code = QrCode::new(text).map_err(|_| QrError::TooLong)?;
    let (width, modules) = (code.width(), code.to_colors());
    let dark = modules.iter().enumerate().filter(|(_, color)| **color == Color::Dark);
    let squares =
        dark.map(|(n, _)| format!("M{} {}h1v1h-1z", n % width + QUIET, n / width + QUIET));
    Ok((width + 2 * QUIET, squares.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_show_the_same_code() {
        let code = QrCode::new("otpauth://totp/lapsed:ada?secret=ABC").unwrap();
        let side = code.width() + 2 * QUIET;
        let lines = text("otpauth://totp/lapsed:ada?secret=ABC").unwrap();
        assert_eq!(lines.lines().count(), side.div_ceil(2));
        assert!(lines.lines().all(|line| line.chars().count() == side));

        let picture = png("otpauth://totp/lapsed:ada?secret=ABC").unwrap();
        let mut reader = png::Decoder::new(io::Cursor::new(picture)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(info.width as usize, side * SCALE);
        let at = |x: usize, y: usize| pixels[y * SCALE * info.width as usize + x * SCALE];
        for y in 0..code.width() {
            for x in 0..code.width() {
                let is_dark = code[(x, y)] == Color::Dark;
                assert_eq!(at(x + QUIET, y + QUIET), if is_dark { 0 } else { 255 });
            }
        }
        assert!((0..side).all(|n| at(n, 0) == 255 && at(0, n) == 255), "the quiet zone is light");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(matches!(text(&"x".repeat(5000)), Err(QrError::TooLong)));
        assert!(matches!(png(&"x".repeat(5000)), Err(QrError::TooLong)));
    }
}
