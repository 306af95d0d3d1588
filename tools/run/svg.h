#pragma once

#include <string>
#include <string_view>

namespace haze {

/// The text with the characters that mean something in XML escaped and those that XML forbids left out.
std::string escape_xml(std::string_view text);

/// The style sheet that figures have in common: card, text, title, tick, grid and axis, light or dark as the
/// viewer is.
extern const std::string_view kFigureStyle;

/// The beginning of an SVG of this size in pixels: its title for screen readers, its style sheet, and a card
/// with rounded corners of class "card" as background.
std::string begin_svg(int width, int height, std::string_view title, std::string_view style);

/// Elements of an SVG, in pixels. `anchor` is the side of a text that stands at (x, y): start, middle or end.
std::string svg_line(std::string_view css_class, double x1, double y1, double x2, double y2);
std::string svg_text(std::string_view css_class, double x, double y, std::string_view anchor,
                     std::string_view content);

}  // namespace haze
