# The boot sector of the other flavour: it greets and sleeps. No kernel, no drivers, no ACPI.
#
# The greeting stands at TEXT as a line of its own (CR LF before and after, then NUL), put there by Rust. It goes to the
# serial port first and as a whole, then to the screen through the BIOS: where the BIOS itself mirrors its screen to
# the serial port, the line comes twice instead of letter by letter mixed with itself.

        .set    ORG, 0x7c00
        .set    TEXT, 230                       # offset in the sector; 205 bytes fit below the disk signature at 440

        .code16
.Lgreet:
        cli
        xor     %ax, %ax
        mov     %ax, %ss
        mov     $ORG, %sp
        mov     %ax, %ds
        ljmp    $0, $(1f - .Lgreet + ORG)
1:      cld

        # serial port 1: 115200 baud, 8 bits, no parity, FIFO on
        mov     $(.Lgreet_uart - .Lgreet + ORG), %si
        mov     $7, %cx
2:      lodsw
        mov     $0x3f8, %dx
        add     %al, %dl
        mov     %ah, %al
        out     %al, %dx
        loop    2b

        mov     $(TEXT + ORG), %si
3:      lodsb
        test    %al, %al
        jz      5f
        mov     %al, %bl
        xor     %cx, %cx
        mov     $0x3fd, %dx
4:      in      %dx, %al
        test    $0x20, %al
        loopz   4b                              # bounded: there may be no such port
        mov     %bl, %al
        mov     $0x3f8, %dx
        out     %al, %dx
        jmp     3b

5:      sti
        mov     $(TEXT + ORG), %si
6:      lodsb
        test    %al, %al
        jz      7f
        mov     $0x0e, %ah                      # teletype
        mov     $7, %bx
        push    %si
        int     $0x10
        pop     %si
        jmp     6b

7:      cli                                     # no timer tick either: an idle machine costs its host nothing
        hlt
        jmp     7b

.Lgreet_uart:
        .byte   3, 0x80,  0, 1,  1, 0,  3, 3,  2, 7,  4, 3,  1, 0

        .org    .Lgreet + TEXT
        .org    .Lgreet + 512
        .code64
