fn main() {
    let a: Vec<String> = std::env::args().collect();
    let mut o = gyre_demo_image::Options::new("Hello from Gyre");
    o.modules = Some(a[2].clone().into());
    println!("{:?}", gyre_demo_image::build(&o, std::path::Path::new(&a[1])));
}
