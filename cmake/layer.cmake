# haze_layer(<name> [INTERNAL] DEPENDS <layers...> LINK <other targets...> SOURCES <files...>)
#
# One folder is one library, haze::<name>. Its headers are included as "haze/<name>/...", and its include path holds
# that folder and the layers named after DEPENDS, nothing else: an include that points upwards does not compile.
# INTERNAL: it is not installed.
set(HAZE_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wno-unknown-pragmas -Wno-missing-field-initializers)

function(haze_layer name)
  cmake_parse_arguments(LAYER "INTERNAL" "" "DEPENDS;LINK;SOURCES" ${ARGN})
  set(include_root ${PROJECT_BINARY_DIR}/layers/${name})
  file(MAKE_DIRECTORY ${include_root}/haze)
  file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${include_root}/haze/${name} SYMBOLIC)

  add_library(haze_${name} STATIC ${LAYER_SOURCES})
  add_library(haze::${name} ALIAS haze_${name})
  set_target_properties(haze_${name} PROPERTIES EXPORT_NAME ${name})
  target_compile_features(haze_${name} PUBLIC cxx_std_20)
  target_compile_options(haze_${name} PRIVATE ${HAZE_WARNINGS})
  target_include_directories(haze_${name} PUBLIC $<BUILD_INTERFACE:${include_root}>
                                                 $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  list(TRANSFORM LAYER_DEPENDS PREPEND haze_)
  target_link_libraries(haze_${name} PUBLIC ${LAYER_DEPENDS} ${LAYER_LINK})

  if(LAYER_INTERNAL)
    return()
  endif()
  install(TARGETS haze_${name} EXPORT haze-targets)
  install(DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/haze/${name}
          FILES_MATCHING PATTERN "*.h" PATTERN "cpu" EXCLUDE PATTERN "cuda" EXCLUDE PATTERN "gpu_simt.h" EXCLUDE
                        PATTERN "guarded_runtime.h" EXCLUDE PATTERN "lab" EXCLUDE)
endfunction()

# Installs what find_package(haze) reads.
function(haze_install_package)
  include(CMakePackageConfigHelpers)
  configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/haze-config.cmake.in
                                ${PROJECT_BINARY_DIR}/haze-config.cmake
                                INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/haze)
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/haze-config-version.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/haze-config.cmake ${PROJECT_BINARY_DIR}/haze-config-version.cmake
          DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/haze)
  install(EXPORT haze-targets NAMESPACE haze:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/haze)
endfunction()

# haze_precompile(<target> [<other headers...>])
#
# Parses the standard library once for the whole target, which saves a fifth of the time under sanitizers. The preset
# release does without (CMAKE_DISABLE_PRECOMPILE_HEADERS): there every source has to include what it uses.
function(haze_precompile target)
  target_precompile_headers(${target} PRIVATE <algorithm> <chrono> <filesystem> <fstream> <functional> <map> <memory>
                            <optional> <random> <regex> <set> <sstream> <string> <thread> <vector> <fmt/format.h> ${ARGN})
endfunction()

if(HAZE_SANITIZE)
  add_compile_options(-fsanitize=${HAZE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=${HAZE_SANITIZE})
endif()
