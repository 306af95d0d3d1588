#pragma once

#include <string>
#include <string_view>

namespace haze {

/// The text with the characters that mean something in XML escaped and those that XML forbids left out.
std::string escape_xml(std::string_view text);

/// The beginning of an SVG of this size in pixels: its title for screen readers, its style sheet, and a card
/// with rounded corners of class "card" as background.
std::string begin_svg(int width, int height, std::string_view title, std::string_view style);

}  // namespace haze
