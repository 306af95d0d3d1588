#include "haze/tools/run/svg.h"

#include <algorithm>

#include <fmt/format.h>

#include "haze/tools/text/utf8.h"

namespace haze {

const std::string_view kFigureStyle =
    ".card{fill:#fff;stroke:#d8dee4}\n"
    "text{font:13px system-ui,-apple-system,'Segoe UI','Helvetica Neue','DejaVu "
    "Sans',sans-serif;fill:#1f2328}\n"
    ".title{font-size:15px;font-weight:600}\n"
    ".tick{font-size:12px;fill:#59636e}\n"
    ".grid{stroke:#e6eaef}\n"
    ".axis{stroke:#59636e}\n"
    "@media (prefers-color-scheme:dark){\n"
    ".card{fill:#0d1117;stroke:#30363d}\n"
    "text{fill:#e6edf3}\n"
    ".tick{fill:#9198a1}\n"
    ".grid{stroke:#21262d}\n"
    ".axis{stroke:#9198a1}\n"
    "}\n";

std::string escape_xml(std::string_view text) {
  std::string escaped;
  while (!text.empty()) {
    const char letter = text.front();
    const size_t bytes = utf8_code_point_bytes(text);
    const std::string_view character = bytes == 0 ? "\xEF\xBF\xBD" : text.substr(0, bytes);
    text.remove_prefix(std::max<size_t>(bytes, 1));
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
        if (static_cast<unsigned char>(letter) >= 0x20) escaped += character;
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

std::string svg_line(std::string_view css_class, double x1, double y1, double x2, double y2) {
  return fmt::format("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n",
                     css_class, x1, y1, x2, y2);
}

std::string svg_text(std::string_view css_class, double x, double y, std::string_view anchor,
                     std::string_view content) {
  return fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", css_class,
                     x, y, anchor, escape_xml(content));
}

}  // namespace haze
