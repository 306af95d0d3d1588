# haze_kernels(<target> <files.cu...>)
#
# Adds CUDA kernels to a target, compiled by the C++ compiler for the emulator (engine/simt). Each file is compiled twice:
# - fast: optimised, its names in namespace haze::fast;
# - checked: as it stands, with a hook before every memory access, its names in namespace haze::checked.
# The checked object has copies of its own of inline functions and templates, and they have hooks, too. Its COMDAT groups
# are dissolved and all other symbols made local, so that none of the copies takes the place of the program's.
function(haze_kernels target)
  foreach(file ${ARGN})
    get_filename_component(path ${file} ABSOLUTE)
    get_filename_component(name ${file} NAME_WE)
    set_source_files_properties(${path} PROPERTIES LANGUAGE CXX)
    foreach(kind fast checked)
      set(objects ${target}_${name}_${kind})
      add_library(${objects} OBJECT ${path})
      target_compile_features(${objects} PRIVATE cxx_std_20)
      target_include_directories(${objects} PRIVATE $<TARGET_PROPERTY:${target},INCLUDE_DIRECTORIES>)
      # A frame that would step over the guard page of a fiber's stack touches it instead.
      target_compile_options(${objects} PRIVATE ${HAZE_WARNINGS} -x c++ -fno-sanitize=all -fno-gnu-unique
                                                -fstack-clash-protection -ffp-contract=off)
    endforeach()
    target_compile_options(${target}_${name}_fast PRIVATE -O2)
    target_compile_options(${target}_${name}_checked PRIVATE -O0 -g -fsanitize=thread)
    set(localised ${CMAKE_CURRENT_BINARY_DIR}/${target}_${name}_checked.o)
    add_custom_command(
      OUTPUT ${localised}
      COMMAND ${CMAKE_OBJCOPY} -w -R .group --keep-global-symbol=*4haze7checked* --keep-global-symbol=*SimtChecked*
              $<TARGET_OBJECTS:${target}_${name}_checked> ${localised}
      DEPENDS $<TARGET_OBJECTS:${target}_${name}_checked>
      VERBATIM)
    set_source_files_properties(${localised} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_${name}_fast> ${localised})
  endforeach()
endfunction()
