#include "haze/tools/run/svg.h"

#include <fmt/format.h>

namespace haze {

std::string escape_xml(std::string_view text) {
  std::string escaped;
  for (const char letter : text) {
    switch (letter) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        if (static_cast<unsigned char>(letter) >= 0x20) escaped += letter;
    }
  }
  return escaped;
}

std::string begin_svg(int width, int height, std::string_view title, std::string_view style) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "role=\"img\">\n"
      "<title>{2}</title>\n<style>\n{3}</style>\n"
      "<rect class=\"card\" x=\"0.5\" y=\"0.5\" width=\"{4}\" height=\"{5}\" rx=\"8\"/>\n",
      width, height, escape_xml(title), style, width - 1, height - 1);
}

}  // namespace haze
